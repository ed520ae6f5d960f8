"""Beat's scheduler: intervals by the monotonic clock, and nothing on disk.

The schedule stands in the settings, so that nothing needs to be stored. Celery's own scheduler stores its times in a
file that a power cut or a full disk leaves unreadable, and then never starts again. It also uses the time of day, so
that it idles for an hour when the clock is set back by one. Jobs whose interval must survive a restart of Beat, as the
daily audit's, are sent often and look into the database whether they are due.
"""

from __future__ import annotations

import time
from typing import Any

from celery import beat
from celery.beat import SchedulingError
from celery.schedules import schedstate, schedule
from celery.utils.log import get_logger

from ragproject.liveness import touch

logger = get_logger(__name__)


class Entry(beat.ScheduleEntry):
    """One job with its interval. ``last_run_at`` is in seconds of the monotonic clock."""

    def default_now(self) -> float:  # type: ignore[override]
        return time.monotonic()

    def is_due(self) -> schedstate:
        """Return whether to send the job now, and after how many seconds to look again."""
        every = self.schedule.run_every.total_seconds()  # type: ignore[union-attr]
        left = self.last_run_at + every - time.monotonic()
        return schedstate(is_due=left <= 0, next=every if left <= 0 else left)


class Scheduler(beat.Scheduler):
    """All jobs of CELERY_BEAT_SCHEDULE; each is first sent when its interval has passed once."""

    Entry = Entry

    def install_default_entries(self, data: Any) -> None:
        """Install none: Celery's only one deletes old results, and no task here has one."""

    def setup_schedule(self) -> None:
        """Read the schedule. Raises TypeError for a job that is not sent at intervals."""
        super().setup_schedule()
        for entry in self.schedule.values():
            if type(entry.schedule) is not schedule:
                raise TypeError(f"The job {entry.name} needs an interval in seconds; times of day are not kept here.")

    def apply_entry(self, entry: beat.ScheduleEntry, producer: Any = None) -> None:
        """Send a job. Where Redis does not take it, log one line; the job is sent again after its interval."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            logger.error("%s", error)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, and show that Beat lives. Return the seconds until the next job."""
        touch()
        return float(super().tick(*args, **kwargs))

    def _when(self, entry: beat.ScheduleEntry, next_time_to_run: Any, mktime: Any = None) -> float:
        return time.monotonic() + (self.adjust(next_time_to_run) or 0)
