"""Collections in Milvus: which is searched, which is filled, what the last audit found."""

from __future__ import annotations

from django.contrib import admin

from ingestion.admin.read_only import ReadOnlyAdmin
from ingestion.models import Collection
from ingestion.pipeline.report.sentences import build_sentence
from ingestion.pipeline.state.collections import build_progress


@admin.register(Collection)
class CollectionAdmin(ReadOnlyAdmin):
    list_display = ("name", "model", "pooling", "dimension", "use", "last_audit", "created_at")

    @admin.display(description="use")
    def use(self, row: Collection) -> str:
        """Return whether the collection is searched, built or to be dropped."""
        if row.building:
            progress = build_progress()
            return build_sentence(progress) if progress else "searched from now on"
        return "searched" if row.active else "dropped by a later audit"

    @admin.display(description="last audit")
    def last_audit(self, row: Collection) -> str:
        """Return the figures of the last audit."""
        return ", ".join(f"{value} {name}" for name, value in row.audit.items())
