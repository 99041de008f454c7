"""Throughput and latency of UpNext beside the bare loop and its peers. See README.md."""
