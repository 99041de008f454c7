"""Values and pure decisions. Nothing here does I/O, and nothing here imports another layer."""
