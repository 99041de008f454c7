"""The tasks of the Django project: `upnext run examples/django_app/tasks.py`."""

from __future__ import annotations

import upnext

worker = upnext.Worker("post")


@worker.task(retries=3)
def send_mail(to: str, subject: str) -> str:
    """A sync function, as most code around Django is: it runs in a thread."""
    return f"{subject!r} sent to {to}"
