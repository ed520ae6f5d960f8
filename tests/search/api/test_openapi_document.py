"""What the API answers is what its OpenAPI document says: requests made from the document, right and wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import redis
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from pytest_django import Settings
from schemathesis.checks import positive_data_acceptance

from search.api.v1.routes import api
from tests.support.callers import bearer, make_key


@pytest.fixture
def rest(index: None, clean_redis: redis.Redis, settings: Settings) -> Iterator[schemathesis.BaseSchema]:
    """The API in this thread, which has the test's transaction: no request may close its connection."""
    settings.REQUEST_LIMITS = {"search": ("", ""), "ask": ("", "")}
    settings.ALLOWED_HOSTS = ["*"]
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def key(rest: schemathesis.BaseSchema) -> str:
    return make_key("admin", can_admin=True)


# A target that its kind can be made of, a name that is not taken: no schema says that.
BEYOND_SCHEMAS = {("/api/v1/sources", "post"): [positive_data_acceptance]}
REAL = {"source": "Handbook", "version": "", "stream": False}
OPERATIONS = [(path, method) for path, methods in api.get_openapi_schema()["paths"].items() for method in methods]


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_answers_are_as_described(
    rest: schemathesis.BaseSchema, key: str, path: str, method: str, mode: schemathesis.GenerationMode
) -> None:
    operation = rest[path][method]
    try:
        cases = operation.as_strategy(generation_mode=mode)
    except schemathesis.errors.SchemathesisError as error:
        pytest.skip(str(error))

    @hypothesis.seed(2026)
    @hypothesis.settings(max_examples=6, suppress_health_check=list(hypothesis.HealthCheck), database=None)
    @hypothesis.given(case=cases)
    def answers(case: schemathesis.Case[Any]) -> None:
        for fields in (case.query, case.body):
            if isinstance(fields, dict) and mode.is_positive:
                # A stream needs a server that is asynchronous, and only sources and versions that exist are found.
                fields |= {name: value for name, value in REAL.items() if name in fields}
        case.call_and_validate(headers=bearer(key), excluded_checks=BEYOND_SCHEMAS.get((path, method)))

    answers()
