"""The processor time of this process and of the children that it waited for: a busy machine does not change it."""

from __future__ import annotations

import resource


def spent() -> float:
    """Return the seconds that were used so far."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)
