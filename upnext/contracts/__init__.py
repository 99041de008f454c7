"""Names and shapes that more than one process must agree on."""
