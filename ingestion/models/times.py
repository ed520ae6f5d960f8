"""Conditions that a stored time has come, which also hold after the clock was set back.

Work is put off by a bounded time only. A stored time that lies further ahead than its bound was written before the
clock was set back, by an hour or from a wrong year. It counts as past: otherwise the work would stand still for as long
as the clock was set back.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

# The longest that a page, a source or a listing is put off: hosts that ask for more are asked again after this.
LONGEST_WAIT_SECONDS = 3600.0
# The clocks of several machines differ by less than this.
CLOCK_SECONDS = 60.0


def passed(field: str, *, longest: float) -> Q:
    """Return the condition that the time in ``field`` has come, or lies more than ``longest`` seconds ahead."""
    return Q(**{f"{field}__lt": timezone.now()}) | Q(**{f"{field}__gt": ahead(longest)})


def ahead(seconds: float) -> datetime:
    """Return the time so many seconds ahead, plus what clocks may differ by."""
    return timezone.now() + timedelta(seconds=seconds + CLOCK_SECONDS)
