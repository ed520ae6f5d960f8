"""One caller of each kind, and a source that only some of them may read."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import redis
from django.utils import timezone
from pytest_django import Settings

from tests.support.search_services import HANDBOOK, SITE


@pytest.fixture
def kinds(
    index: None, clean_redis: redis.Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> dict[str, dict[str, Any]]:
    """The headers or the user of each kind of caller; the handbook is for one group."""
    from ingestion.models import Chunk, Run, Source
    from search.access.caller import OPERATOR
    from search.models import StoredAnswer
    from search.retrieval.confirmed_hits import ConfirmedHits
    from search.retrieval.passages import passage_of
    from tests.support.callers import CALLERS, bearer, make_key, make_reader, restrict

    monkeypatch.setattr("search.api.views.missing_services", list)
    settings.REQUEST_LIMITS = {"search": ("", ""), "ask": ("", "")}
    group = restrict(HANDBOOK)
    key = Chunk.objects.filter(document__source=HANDBOOK).earliest("id").key
    [(_, row)] = ConfirmedHits(OPERATOR, 1).of({key: 1.0})
    Run.objects.create(id=1, source_id=HANDBOOK, state=Run.State.FINISHED)
    StoredAnswer.objects.create(
        key="kept",
        reader="somebody",
        question="How do I run makemigrations?",
        mode="llm",
        outcome="answered",
        shared_at=timezone.now(),
        passages=[asdict(passage_of(row, 1.0))],
    )
    site = Source.objects.get(id=SITE)
    made: tuple[dict[str, Any], ...] = (
        {},
        {"headers": bearer(make_key("searching", can_ask=False))},
        {"headers": bearer(make_key("limited", sources=(site,)))},
        {"headers": bearer(make_key("admin", can_admin=True))},
        {"user": make_reader("insider", group)},
    )
    return dict(zip(CALLERS, made, strict=True))
