"""For those who operate the site: `/metrics`, for Prometheus, and `/readyz/ROLE`, for probes of workers.

`/metrics` is for programs of this machine, or with METRICS_TOKEN, and answers within SCRAPE_SECONDS.
"""

from __future__ import annotations

import secrets
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from ingestion.pipeline.report.metrics import Exposition, exposition
from ingestion.pipeline.report.readiness import ROLES, role_trouble

# Prometheus itself gives up after 10 s, unless it is told otherwise.
SCRAPE_SECONDS = 8.0
LOOPBACK = ("127.0.0.1", "::1")
FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP")
REFUSAL = (
    "Metrics are for programs on this machine. Elsewhere send “Authorization: Bearer TOKEN”, with the token that "
    "METRICS_TOKEN is set to.\n"
)
LATE = "The services behind this site did not tell their state in time; /readyz says which do not answer.\n"


class Scraper:
    """One thread that reads the state: while it waits for a service that hangs, further scrapes wait with it."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, "metrics")
        self.lock = Lock()
        self.running: dict[str, Future[Exposition]] = {}

    def ask(self, accept: str) -> Exposition:
        """Return the metrics. Raise TimeoutError where they are not there within SCRAPE_SECONDS."""
        with self.lock:
            known = self.running.get(accept)
            if known is None or known.done():
                self.running = {accept: self.thread.submit(exposition, accept)}
            asked = self.running[accept]
        return asked.result(SCRAPE_SECONDS)


_scraper = Scraper()


@csrf_exempt
@require_safe
@never_cache
async def role_readiness(request: HttpRequest, role: str) -> JsonResponse:
    """Answer 200 while the workers of a role do their work, else 503 with what is wrong."""
    if role not in ROLES:
        raise Http404
    trouble = await sync_to_async(role_trouble, thread_sensitive=False)(role)
    if trouble:
        return JsonResponse({"status": "unavailable", "error": trouble}, status=503)
    return JsonResponse({"status": "ok"})


@csrf_exempt
@require_safe
@never_cache
async def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the metrics of the whole system, whichever process is asked."""
    if not may_read(request):
        return HttpResponse(REFUSAL, status=403, content_type="text/plain; charset=utf-8")
    try:
        found = await sync_to_async(_scraper.ask, thread_sensitive=False)(request.headers.get("Accept", ""))
    except TimeoutError:
        return HttpResponse(LATE, status=503, content_type="text/plain; charset=utf-8")
    return HttpResponse(found.body, content_type=found.content_type)


def may_read(request: HttpRequest) -> bool:
    """Return whether the request has the token or, where none is set, comes from this machine itself.

    A request that a proxy on this machine passed on comes from elsewhere.
    """
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return secrets.compare_digest(given.encode(), settings.METRICS_TOKEN.encode())
    passed_on = any(name in request.headers for name in FORWARDED)
    return request.META.get("REMOTE_ADDR") in LOOPBACK and not passed_on
