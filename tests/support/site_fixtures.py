"""A website on loopback, which the fetcher may visit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from ingestion.fetching import http_session, politeness
from tests.support.local_site import LocalSite


@pytest.fixture
def loopback_allowed(settings: Settings) -> Iterator[None]:
    settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.1/32"]
    settings.FETCH_TIMEOUT_SECONDS = 20.0
    yield
    http_session.session().close()


@pytest.fixture
def site(loopback_allowed: None) -> Iterator[LocalSite]:
    with LocalSite() as site:
        yield site


@pytest.fixture
def forgotten_hosts(clean_redis: object) -> Iterator[None]:
    """Forget what was learnt about hosts before and after the test; the next one's site may have the same port."""
    politeness.forget()
    yield
    politeness.forget()
