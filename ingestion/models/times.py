"""Whether a stored time has come, also after the clock was set back.

A time of day that is stored lies as far ahead as something is put off, which has a bound. One that lies beyond its
bound was written before the clock was set back, by an hour or from a wrong year, and does not count: otherwise the work
behind it would stand still for just as long.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import DurationField, ExpressionWrapper, F, IntegerField, Q, Value
from django.utils import timezone

# The longest that a page, a source or a listing is put off: hosts that ask for more are asked again after this.
LONGEST_WAIT_SECONDS = 3600.0
# Clocks of several machines differ by less.
CLOCK_SECONDS = 60.0


def passed(field: str, *, longest: float) -> Q:
    """Return the condition that a time, put off by ``longest`` seconds at most, has come or cannot be right."""
    return Q(**{f"{field}__lt": timezone.now()}) | Q(**{f"{field}__gt": ahead(longest)})


def page_lease() -> float:
    return float(settings.PAGE_TIME_LIMIT_SECONDS + settings.LEASE_SECONDS)


def listing_lease() -> float:
    return max(LONGEST_WAIT_SECONDS, float(settings.LIST_TIME_LIMIT_SECONDS + settings.LEASE_SECONDS))


def written_ahead(field: str) -> Q:
    """Return the condition that a row says it was written in the future."""
    return Q(**{f"{field}__gt": ahead(0)})


def beyond_its_interval(field: str, seconds: str) -> Q:
    """Return the condition that a time lies further ahead than the row's own interval."""
    number = ExpressionWrapper(F(seconds), output_field=IntegerField())  # on SQLite, Django multiplies no other kind
    interval = ExpressionWrapper(number * Value(timedelta(seconds=1)), output_field=DurationField())
    return Q(**{f"{field}__gt": Value(ahead(0)) + interval})


def ahead(seconds: float) -> datetime:
    return timezone.now() + timedelta(seconds=seconds + CLOCK_SECONDS)
