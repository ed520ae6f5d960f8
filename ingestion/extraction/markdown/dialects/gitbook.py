"""GitBook: hints, tabs, steps, files and API methods between ``{% … %}``; what stands between is read as usual."""

from __future__ import annotations

from ingestion.extraction.markdown.components import Shown, shown
from ingestion.extraction.markdown.dialect import Dialect
from ingestion.extraction.markdown.dialects.jekyll import liquid_block, liquid_mark
from ingestion.extraction.markdown.templates import Template

NAMES = {
    "api-method", "api-method-parameter", "api-method-response-example", "code", "columns", "column", "content-ref",
    "embed", "expandable", "file", "hint", "openapi", "prompt", "step", "stepper", "swagger", "swagger-parameter",
    "swagger-response", "tab", "tabs", "updates", "update", "note", "tip", "warning", "danger", "info", "important",
    "caution", "callout", "alert", "details",
}  # fmt: skip


def _shown(tag: Template) -> Shown | None:
    """Return what a tag of GitBook shows; None for one of another system."""
    if tag.name not in NAMES:
        return None
    return (
        Shown()
        if tag.is_end or tag.name in ("embed", "content-ref")
        else shown(tag.name, tag.given, tag.quoted, tag.bare)
    )


DIALECT = Dialect(blocks=(liquid_block(_shown),), marks=(liquid_mark(_shown),))
