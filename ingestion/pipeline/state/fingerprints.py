"""Hashes that tell whether a document has to be processed again."""

from __future__ import annotations

import hashlib
import json

from django.conf import settings

from ingestion.context.sentence import PROMPT_VERSION
from ingestion.models import Source
from ingestion.types import Extracted, Page, embedding_text

# Changes whenever extraction or cutting changes what the same bytes become.
PROCESSING_VERSION = "3"


def shape_of(source: Source) -> str:
    """Return the fingerprint of what, besides a page's bytes, decides on its chunks and on the links to follow.

    With another model, chunk size or scope it is another one, and equal bytes are processed again.
    """
    bounds = (source.page_bound(), source.max_depth, source.max_alike)
    scope = [source.include, source.exclude, *bounds] if source.kind in Source.WEB else []
    return digest(PROCESSING_VERSION, settings.MODEL_PATH, str(settings.CHUNK_TOKENS), json.dumps(scope))


def content_hash(page: Page) -> str:
    """Return the fingerprint of a page's bytes, its media type and the directives for crawlers that came beside it."""
    beside = " ".join([page.content_type, *sorted(page.robots)])
    return hashlib.blake2b(f"{beside}\0".encode() + page.body, digest_size=32).hexdigest()


def text_hash(title: str, extracted: Extracted) -> str:
    """Return the fingerprint of what a reader would see and of the anchors that citations lead to."""
    return digest(title, extracted.markdown, json.dumps(extracted.anchors, sort_keys=True))


def embedding_digest(heading: str, text: str, context: str = "") -> str:
    """Return the fingerprint of what the model reads of a chunk: equal ones have equal vectors."""
    return digest(embedding_text(heading, text, context))


def context_model() -> str:
    """Return the fingerprint of the language model and prompt for sentences of context; empty when none is set."""
    return digest(settings.CONTEXT_MODEL, PROMPT_VERSION) if settings.CONTEXT_MODEL else ""


def context_key(title: str, heading: str, text: str) -> str:
    """Return the fingerprint by which a sentence of context is kept: of model, prompt, title, heading and text."""
    return digest(context_model(), title, heading, text)


def digest(*parts: str) -> str:
    """Return 128 bits of BLAKE2b over the parts, as hexadecimal digits."""
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).hexdigest()
