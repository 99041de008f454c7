"""A Django project in one file that submits jobs, from sync views as well as async ones.

cd examples/django_app
upnext run tasks.py                   the worker, in one terminal
python app.py runserver 8004          the project, in another one
curl -X POST 'http://localhost:8004/mails/?to=ada@example.org'
"""

from __future__ import annotations

import os
import sys

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from tasks import send_mail

import upnext

settings.configure(
    DEBUG=False,
    SECRET_KEY=os.environ.get("SECRET_KEY", "not a secret: this is an example"),
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
)
django.setup()


@csrf_exempt
@require_POST
def order_mail(request: HttpRequest) -> JsonResponse:
    """A sync view: `submit_sync` blocks its thread for one round trip."""
    future = send_mail.submit_sync(request.GET.get("to", ""), "Welcome")
    return JsonResponse({"job_id": future.job_id}, status=202)


@require_GET
async def read_mail(request: HttpRequest, job_id: str) -> JsonResponse:
    """An async view: it waits for the job without a thread."""
    try:
        return JsonResponse({"result": await send_mail.future(job_id).value(timeout=5)})
    except upnext.JobNotFoundError:
        return JsonResponse({"detail": "there is no such job"}, status=404)


urlpatterns = [path("mails/", order_mail), path("mails/<job_id>/", read_mail)]

asgi = get_asgi_application()
"""For an ASGI server: `hypercorn app:asgi`."""
wsgi = get_wsgi_application()
"""For a WSGI server: `gunicorn app:wsgi`."""

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
