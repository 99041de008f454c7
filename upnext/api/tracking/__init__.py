"""Request tracking: counts what an API serves, and says that it is there.

    tracker = Tracker(name, id, store, settings=settings.api_tracking, config=config,
                      host=host, port=port, endpoints=lambda: ["GET /orders/{id}"])
    app = tracker.middleware(app)        # pure ASGI, outermost, around any framework
    group.start_soon(tracker.run)        # a stage; cancelled when the server serves no more

The application says which route served a request: `scope["upnext.route"] = "/orders/{id}"`, left in
the scope that the middleware was called with; Starlette's and FastAPI's `scope["route"]` is
understood, too. What has neither is counted as `unmatched`.

    middleware ──► book ──► backlog ──► reporter ──► store.track
    (counts)       (since   (not known   (each second,
                   last     to be        one round trip)
                   taken)   written)

The server reads through `Store.apis`, `api_instances`, `traffic`, `trend` and `requests`.
"""

from __future__ import annotations

from upnext.api.tracking.config import ApiTrackingConfig
from upnext.api.tracking.tracker import Tracker, TrackerStatistics

__all__ = ["ApiTrackingConfig", "Tracker", "TrackerStatistics"]
