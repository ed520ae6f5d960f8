"""The stand-in model, assembled once for all processes of a run, with a constant lexical head."""

from __future__ import annotations

import fcntl
from pathlib import Path

from django.conf import settings

from ingestion.embedding.stand_in_model import assemble


def assembled() -> Path:
    """Where it is; a stack's own folder of models may lead to that folder's parent."""
    models = (Path(settings.DATA_DIR) / "models").resolve()
    models.mkdir(parents=True, exist_ok=True)
    with (models / ".assembling").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assemble(models / "stand-in")
    return models / "stand-in"
