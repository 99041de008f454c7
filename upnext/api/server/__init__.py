"""The server: Hypercorn's protocols on AnyIO's sockets, so that every connection has a parent."""
