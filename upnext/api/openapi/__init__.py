"""The documentation of an API: an OpenAPI document from its signatures, and a page to read it."""
