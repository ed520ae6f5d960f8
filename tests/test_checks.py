"""Settings that cannot work are named before anything starts."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"EMBED_MODEL": "/nowhere", "MODEL_PATH": "/nowhere"}, "ingestion.E001"),
        ({"MODEL_PATH": "/nowhere"}, "ingestion.W001"),
        ({"PAGE_TIME_LIMIT_SECONDS": 4000}, "ingestion.E002"),
        ({"EMBED_DEVICE": "cpu", "EMBED_DTYPE": "float16"}, "ingestion.E003"),
        ({"FETCH_PRIVATE_NETWORKS": ["10.1.2.3/16"]}, "ingestion.E004"),
    ],
)
def test_a_setting_that_cannot_work_is_named(changes: dict[str, Any], check: str, settings: Any) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    assert check in {message.id for message in run_checks()}


@pytest.mark.usefixtures("model_path")
def test_settings_that_work_raise_no_complaint() -> None:
    assert run_checks() == []
