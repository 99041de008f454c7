"""Quart on AnyIO: one app that runs on asyncio and on Trio, each request a scope."""
