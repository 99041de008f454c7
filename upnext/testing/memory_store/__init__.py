"""The queue in memory, file for file the twin of `store/lua`: what the scripts do, in Python.

`queue.py` is the prelude's twin and owns everything of one function; each verb beside it is one
function of the queue and the time. Nothing here waits, so a verb is as atomic as a script.
"""

from __future__ import annotations
