"""Workers come back soon after Redis does, however long it was away."""

from __future__ import annotations

import pytest
from django.conf import settings

from ragproject.celery import LONGEST_RECONNECT_SECONDS, app

TRIES = 12


class Enough(Exception):
    """So many pauses were seen."""


@pytest.mark.parametrize("connect", [app.connection_for_read, app.connection_for_write])
def test_no_pause_between_two_tries_grows_beyond_a_few_seconds(connect, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _: None)
    pauses: list[float] = []

    def note(error: Exception, pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == TRIES:
            raise Enough

    with pytest.raises(Enough):
        connect("redis://127.0.0.1:9/0").ensure_connection(note)
    assert max(pauses) == LONGEST_RECONNECT_SECONDS


def test_a_worker_goes_on_after_redis_refused_what_it_wrote() -> None:
    """Celery ends a worker on such an answer otherwise; the stack's own test shows that it does not."""
    assert settings.CELERY_BROKER_CHANNEL_ERROR_RETRY
