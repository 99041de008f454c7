"""The command line: `upnext …` or `python -m upnext …`."""

from __future__ import annotations
