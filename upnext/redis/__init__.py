"""Redis and Valkey: one socket for many callers, on asyncio and on Trio. Knows nothing of jobs."""
