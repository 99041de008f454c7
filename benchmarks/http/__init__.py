"""Requests per second of an API, beside those of its peers: python -m benchmarks.http --help."""
