"""Beat's scheduler: intervals by the monotonic clock, nothing on disk, and one of all Beats that sends.

The schedule stands in the settings, so that nothing needs to be stored. Celery's own scheduler stores its times in a
file that a power cut or a full disk leaves unreadable, and then never starts again. It also uses the time of day, so
that it idles for an hour when the clock is set back by one. Jobs whose interval must survive a restart of Beat, as the
daily audit's, are sent often and look into the database whether they are due.
"""

from __future__ import annotations

import time
from typing import Any

import redis
from celery import beat
from celery.beat import SchedulingError
from celery.schedules import schedstate, schedule
from celery.utils.log import get_logger
from django.conf import settings
from redis.exceptions import LockNotOwnedError, RedisError

from ragproject.leases import take
from ragproject.liveness import touch

logger = get_logger(__name__)

# The schedule is without a Beat for so long when the one that sends is killed.
LEASE_SECONDS = 5.0
RENEW_SECONDS = 1.0
REDIS_SECONDS = 2.0


class Lease:
    """The right to send, which one Beat has at a time."""

    def __init__(self, url: str, name: str) -> None:
        client = redis.Redis.from_url(url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS)
        self._lock = client.lock(name, timeout=LEASE_SECONDS, thread_local=False)
        self._looked_at = float("-inf")
        self._held = False

    def held(self) -> bool:
        """Return whether this Beat has the lease; take it where it is free.

        Redis is asked at most every RENEW_SECONDS.
        """
        if time.monotonic() - self._looked_at >= RENEW_SECONDS:
            before = self._held
            try:
                self._held = self._renewed() or take(self._lock)
            except RedisError as error:
                self._held = False
                logger.warning("nothing is sent, because Redis does not answer: %s", error)
            self._looked_at = time.monotonic()
            if self._held != before:
                logger.info("this Beat %s", "sends the jobs" if self._held else "waits: another sends the jobs")
        return self._held

    def _renewed(self) -> bool:
        """Renew the lease for LEASE_SECONDS, and return whether this Beat still has it; forget one that has run out.

        Raises RedisError when Redis does not answer.
        """
        try:
            return self._lock.local.token is not None and bool(self._lock.reacquire())
        except LockNotOwnedError:
            self._lock.local.token = None
            return False

    def give_up(self) -> None:
        """Release the lease, if this Beat has it, so that another Beat can take it at once."""
        try:
            if self._held:
                self._lock.release()
        except RedisError as error:
            logger.warning("another Beat has to wait for %g s: %s", LEASE_SECONDS, error)
        self._held = False


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
    """All jobs of CELERY_BEAT_SCHEDULE; each is first sent when its interval has passed once.

    A Beat that begins to send after it waited finds all of them due.
    """

    Entry = Entry

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.lease = Lease(settings.REDIS_URL, f"{settings.EMBEDDINGS_KEY}:beat")
        super().__init__(*args, **kwargs)

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
        """Send what is due if this Beat is the one that sends, and show that it lives.

        Return the seconds until the next job.
        """
        touch()
        return float(super().tick(*args, **kwargs)) if self.lease.held() else RENEW_SECONDS

    def close(self) -> None:
        """Give up the lease when Beat ends."""
        super().close()
        self.lease.give_up()

    def _when(self, entry: beat.ScheduleEntry, next_time_to_run: Any, mktime: Any = None) -> float:
        """Return the second of the monotonic clock at which to look at a job due in ``next_time_to_run`` seconds.

        It is 10 ms before that, as in Celery. ``entry`` and ``mktime`` are not used.
        """
        return time.monotonic() + (self.adjust(next_time_to_run) or 0)
