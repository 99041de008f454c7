"""The tasks of the Django project: `upnext run tasks.py`."""

from __future__ import annotations

import upnext

worker = upnext.Worker("post")


@worker.task(retries=3)
def send_mail(to: str, subject: str) -> str:
    """A sync function, as most code around Django is; jobs may use its ORM after
    `django.setup()`."""
    return f"{subject!r} sent to {to}"
