"""From a request to the arguments of a handler, as its signature says."""
