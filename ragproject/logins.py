"""Limits on wrong passwords, as django-axes' handler, and the page that a locked-out visitor gets.

Failures are rows in the database, so that all web processes count together. Within LOGIN_LOCK_SECONDS

- LOGIN_FAILURES_PER_PAIR lock an account for one address,
- LOGIN_FAILURES_PER_ADDRESS lock an address for all accounts,
- LOGIN_FAILURES_PER_ACCOUNT lock an account for addresses from which it never logged in. Its owner can still log in
  from the usual addresses while somebody guesses from elsewhere.

Refused attempts are not counted, so that a lock ends LOGIN_LOCK_SECONDS after its last counted failure. Attempts of one
client are checked one after the other; parallel guesses would all pass before the first of them is counted.
"""

from __future__ import annotations

import math
import threading
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.db.models import Max, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from ragproject.clients import LOCAL, client_of

# An address always uses the same lock. Clients that share one wait for each other's password checks, 0.3 s each.
CHECK_LOCKS = [threading.Lock() for _ in range(64)]


class ReaderLoginForm(AuthenticationForm):
    """The login of readers, one attempt of a client at a time."""

    def clean(self) -> dict[str, Any]:
        address = client_of(self.request) if self.request else LOCAL
        with CHECK_LOCKS[hash(address) % len(CHECK_LOCKS)]:
            return super().clean()


class LoginForm(ReaderLoginForm, AdminAuthenticationForm):
    """The admin's login, which lets only staff in."""


class LoginLimits(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    """axes' handler, with limits by account, by address and by both."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """Return 1 when the attempt is to be refused, else 0; AXES_FAILURE_LIMIT is 1."""
        return int(bool(locks((credentials or {}).get("username"), client_of(request))))


def locks(username: str | None, address: str) -> list[tuple[QuerySet[AccessAttempt], str]]:
    """Return the failures that lock this account or address, and the command that forgets them, for each lock."""
    counted = AccessAttempt.objects.filter(attempt_time__gte=timezone.now() - settings.AXES_COOLOFF_TIME)
    pair = counted.filter(username=username, ip_address=address)
    found = []
    if failures(pair) >= settings.LOGIN_FAILURES_PER_PAIR:
        found.append((pair, f"axes_reset_ip {address}"))
    if failures(here := counted.filter(ip_address=address)) >= settings.LOGIN_FAILURES_PER_ADDRESS:
        found.append((here, f"axes_reset_ip {address}"))
    everywhere = counted.filter(username=username)
    if failures(everywhere) >= settings.LOGIN_FAILURES_PER_ACCOUNT:
        has_logged_in_from_here = AccessLog.objects.filter(username=username, ip_address=address).exists()
        if not has_logged_in_from_here:
            found.append((everywhere, "axes_reset_username NAME"))
    return found


def failures(attempts: QuerySet[AccessAttempt]) -> int:
    """Return the number of failed logins in these attempts."""
    return attempts.aggregate(total=Sum("failures_since_start"))["total"] or 0


def locked_page(request: HttpRequest, *ignored: object) -> HttpResponse:
    """Return the page that a locked-out visitor gets instead of the form.

    axes passes other arguments on its async path than on its sync one, so the credentials are read from the request.
    """
    found = locks((getattr(request, "axes_credentials", None) or {}).get("username"), client_of(request))
    lasts = [attempts.aggregate(last=Max("attempt_time"))["last"] for attempts, _ in found]
    ends = max(filter(None, lasts), default=timezone.now()) + settings.AXES_COOLOFF_TIME
    seconds = max(1, math.ceil((ends - timezone.now()).total_seconds()))
    shown = {"minutes": math.ceil(seconds / 60), "commands": dict.fromkeys(command for _, command in found)}
    response = render(request, "search/locked.html", shown, status=429)
    response["Retry-After"] = str(seconds)
    return response


def described(username: str | None, address: str, user_agent: str, path: str, request: HttpRequest) -> str:
    """Return the attempt for the log. The visitor chose the name: ``ascii`` leaves no line end in it."""
    return f"account {(username or '')[:150]!a} from {address}"
