"""What a client may choose as "model": all documentation, one source of it, or the model that embeds.

``docs`` answers from everything, ``docs/NAME`` from the source of that name. The embedding model has the name under
which its vectors can be told from another's; where it is a folder, only the folder's name is told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from search.access.caller import Caller
from search.api.openai_compatible.errors import RequestRefused
from search.catalogue import source_names

EVERYTHING = "docs"


def listing(sources: list[str], embedder: str) -> list[dict[str, Any]]:
    """Return the entries of /v1/models."""
    names = [EVERYTHING, *(f"{EVERYTHING}/{source}" for source in sources), *filter(None, [embedder])]
    return [{"id": name, "object": "model", "created": 0, "owned_by": "ragproject"} for name in names]


def source_of(model: str, caller: Caller) -> str:
    """Return the name of the source that a model stands for, empty for all. Raises RequestRefused."""
    if model == EVERYTHING:
        return ""
    name, _, source = model.partition("/")
    if name != EVERYTHING or source not in source_names(caller):
        raise unknown(model)
    return source


def embedder_name(model: str) -> str:
    """Return the name of a collection's model, without folders of this machine."""
    name = settings.EMBED_MODEL if model == settings.MODEL_PATH else model
    return Path(name).name if Path(name).is_absolute() else name


def unknown(model: str, right: str = EVERYTHING, what: str = "model") -> RequestRefused:
    """Return the refusal of a model that is not here; ``right`` is one that would be."""
    message = f"There is no {what} {model[:100]!r} here. GET /v1/models lists those there are; {right!r} is one."
    return RequestRefused(message, 404, param="model", code="model_not_found")
