"""The queue: one file per verb, each with its script; `store.py` binds them to a link.

A verb's module encodes the call and decodes the reply; it does no I/O, so the async store, the
blocking store and a pipeline of several calls all use the same code.
"""
