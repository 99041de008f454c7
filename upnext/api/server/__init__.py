"""The server: HTTP/1.1 by llhttp, all else by Hypercorn; every connection has a parent."""
