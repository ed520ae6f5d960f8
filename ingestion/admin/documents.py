"""Documents and their chunks, with errors and what to do about them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest

from ingestion.admin.read_only import ReadOnlyAdmin
from ingestion.admin.wake import tell_workers
from ingestion.models import Chunk, Document, Source
from ingestion.pipeline.state.runs import start_run


class ChunkInline(admin.TabularInline[Chunk, Document]):
    model = Chunk
    fields = ("position", "state", "heading", "tokens", "text", "error", "context_error")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Document)
class DocumentAdmin(ReadOnlyAdmin):
    list_display = ("title_or_url", "state", "error", "source", "chunk_count", "attempts", "updated_at")
    list_filter = ("state", "source")
    search_fields = ("url", "title")
    list_select_related = ("source",)
    show_full_result_count = False
    inlines: ClassVar = [ChunkInline]
    actions = ("try_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        """Leave out the text: a page of the list would read a hundred times a hundred kilobytes."""
        return super().get_queryset(request).defer("markdown")

    @admin.display(description="document")
    def title_or_url(self, document: Document) -> str:
        """Return the document's title, or its address when it has none."""
        return document.title or document.url

    def has_try_again_permission(self, request: HttpRequest) -> bool:
        """Return whether this person may have sources ingested."""
        return request.user.has_perm("ingestion.change_source")

    @admin.action(description="Try again", permissions=["try_again"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Document]) -> None:
        """Queue the chosen documents for a run of their source."""
        LogEntry.objects.log_actions(str(request.user.pk), queryset, CHANGE, change_message="Try again.")
        for source in Source.objects.filter(id__in=queryset.values("source"), deleting=False):
            run = start_run(source)
            Document.objects.filter(id__in=queryset.values("id"), source=source).queue(run_id=run.pk)
        tell_workers(request)
