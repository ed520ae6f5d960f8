"""Runs: what each did, saved and left out, and why it stopped."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html_join

from ingestion.admin.read_only import ReadOnlyAdmin
from ingestion.models import Run
from ingestion.pipeline.report.sentences import chunks_sentence, dropped_sentence, savings_sentence
from ingestion.pipeline.state.runs import stored_savings


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = (
        "source",
        "state",
        "documents_of",
        "chunks_of",
        "saved",
        "left_out",
        "error",
        "note",
        "created_at",
        "finished_at",
    )
    list_filter = ("state", "source")
    list_select_related = ("source",)
    show_full_result_count = False
    readonly_fields = ("chunks_of", "saved", "left_out", "dropped")

    @admin.display(description="documents")
    def documents_of(self, run: Run) -> int:
        """Return how many documents the run has."""
        return int(run.figures["documents"]) if run.figures else run.documents.count()

    @admin.display(description="chunks")
    def chunks_of(self, run: Run) -> str:
        """Return how many of the run's chunks were embedded and how many kept their vectors."""
        return chunks_sentence(run.figures) if run.figures else ""

    @admin.display(description="dropped words")
    def dropped(self, run: Run) -> str:
        """Return how many words each rule of the readers left out of the run's documents."""
        return dropped_sentence(run.figures.get("dropped", {}))

    @admin.display(description="saved")
    def saved(self, run: Run) -> str:
        """Return a sentence about the work that the run saved."""
        savings = stored_savings(run)
        return savings_sentence(savings) if savings else ""

    @admin.display(description="left out")
    def left_out(self, run: Run) -> str:
        """Return what the run left out, one line for each remark."""
        return format_html_join("", "<div>{} {}</div>", run.remarks.items())
