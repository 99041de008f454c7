"""One process: its workers and APIs in one tree, and how it ends."""
