"""The staff's view: sources with their progress and reasons, documents and runs with their errors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, Max, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from ingestion import tasks
from ingestion.exceptions import IngestionError
from ingestion.models import Chunk, Collection, Document, Run, Source
from ingestion.pipeline.report.alerts import troubles
from ingestion.pipeline.state.collections import build_progress, progress_sentence
from ingestion.pipeline.state.removals import accept_missing
from ingestion.pipeline.state.runs import remove_source, saved_sentence, start_run
from ingestion.sources.registry import normalise
from ingestion.upload_form import UploadForm

DONE = set(Document.State) - set(Document.ACTIVE)


class GlobsField(forms.CharField):
    """A list of globs, one per line."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 60, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: str | None) -> list[str]:  # type: ignore[override]
        return [line.strip() for line in (value or "").splitlines() if line.strip()]


class SourceForm(UploadForm, forms.ModelForm[Source]):
    target = forms.CharField(
        required=False,
        max_length=2048,
        widget=forms.TextInput(attrs={"size": 70}),
        help_text="The first page of a website, a sitemap's address, github:owner/repo[@ref][/path], or a folder or "
        "file of the server. For uploaded files leave it empty.",
    )
    include = GlobsField(required=False, help_text="Only these, one glob per line, such as *.md; empty: everything.")
    exclude = GlobsField(required=False, help_text="Never these, one glob per line.")

    class Meta:
        model = Source
        fields = (
            "name",
            "kind",
            "target",
            "include",
            "exclude",
            "max_pages",
            "max_depth",
            "max_alike",
            "delay_seconds",
            "connections",
            "refresh_seconds",
            "trusts_dates",
        )

    def clean(self) -> dict[str, Any]:
        """The target in its one normal form, inside FILES_ROOTS when it is of this machine."""
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        if data["kind"] == Source.Kind.UPLOADS:
            data["target"] = self.store_files(name=data["name"], target=self.instance.target)
        try:
            data["target"] = normalise(data["kind"], data["target"])
        except IngestionError as error:
            raise forms.ValidationError({"target": str(error)}) from error
        if data["kind"] in Source.LOCAL and not is_address(data["target"]):
            check_root(data["target"])
        return data


def is_address(target: str) -> bool:
    return target.startswith(("http://", "https://"))


def check_root(target: str) -> None:
    if any(Path(target).is_relative_to(root) for root in settings.FILES_ROOTS):
        return
    allowed = ", ".join(str(r) for r in settings.FILES_ROOTS) or "none yet"
    raise forms.ValidationError(
        {"target": f"Folders must lie below one of FILES_ROOTS ({allowed}). Ask the operator to set it."}
    )


@admin.register(Source)
class SourceAdmin(admin.ModelAdmin[Source]):
    form = SourceForm
    fieldsets = (
        (None, {"fields": ("name", "kind", "target", "upload", "replace_all")}),
        ("What belongs to it", {"fields": ("include", "exclude", "max_pages", "max_depth", "max_alike")}),
        ("Pace and refresh", {"fields": ("delay_seconds", "connections", "refresh_seconds", "trusts_dates")}),
    )
    list_display = ("name", "state", "progress", "failed", "last_error", "kind", "target")
    list_filter = ("kind",)
    search_fields = ("name", "target")
    actions = ("ingest_now", "remove_missing_pages", "delete_with_vectors")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Source]:
        newest = Run.objects.order_by().values("source").annotate(newest=Max("id")).values("newest")
        runs = Prefetch("runs", Run.objects.filter(id__in=newest))
        return (
            super()
            .get_queryset(request)
            .prefetch_related(runs)
            .annotate(
                known=number_in(Document.State), done=number_in(DONE), unsuccessful=number_in(Document.UNSUCCESSFUL)
            )
        )

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.method == "GET":
            for trouble in troubles():
                messages.warning(request, trouble)
        return super().changelist_view(request, extra_context)

    @admin.display(description="state")
    def state(self, source: Source) -> str:
        if source.deleting:
            return "deleting"
        run = latest_run(source)
        return str(run.state) if run else "new"

    @admin.display(description="documents done")
    def progress(self, source: Any) -> str:
        return f"{source.done} of {source.known}"

    @admin.display(description="failed")
    def failed(self, source: Any) -> str:
        if not source.unsuccessful:
            return "0"
        query = f"?source__id__exact={source.pk}&state__in=failed,quarantined"
        url = reverse("admin:ingestion_document_changelist") + query
        return format_html('<a href="{}">{}</a>', url, source.unsuccessful)

    @admin.display(description="last error, or why it waits")
    def last_error(self, source: Source) -> str:
        run = latest_run(source)
        if run and (run.error or run.note):
            return run.error or run.note
        document = source.documents.filter(state__in=Document.UNSUCCESSFUL).order_by("-updated_at").first()
        return f"{document.url}: {document.error}" if document else ""

    @admin.action(description="Ingest now")
    def ingest_now(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        for source in queryset.filter(deleting=False):
            start_run(source)
        tell_workers(request)

    @admin.action(description="Remove missing pages", permissions=["delete"])
    def remove_missing_pages(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        removed = sum(accept_missing(source) for source in queryset)
        messages.info(request, f"{removed} missing pages leave the index.")
        tell_workers(request)

    @admin.action(description="Delete with its vectors", permissions=["delete"])
    def delete_with_vectors(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        for source in queryset:
            remove_source(source)
        tell_workers(request)

    def save_model(self, request: HttpRequest, obj: Source, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if form.stored:
            messages.info(request, form.stored.sentence())
        if not change or form.stored:
            start_run(obj)
            tell_workers(request)

    def delete_model(self, request: HttpRequest, obj: Source) -> None:
        remove_source(obj)
        tell_workers(request)

    def get_actions(self, request: HttpRequest) -> Any:
        """Without the built-in bulk delete, which would leave the vectors behind."""
        return {k: v for k, v in super().get_actions(request).items() if k != "delete_selected"}


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows that the pipeline writes; staff look."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ChunkInline(admin.TabularInline[Chunk, Document]):
    model = Chunk
    fields = ("position", "state", "heading", "tokens", "text", "error")
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
        """Without the text, which may be a hundred times a hundred kilobytes."""
        return super().get_queryset(request).defer("markdown")

    @admin.display(description="document")
    def title_or_url(self, document: Document) -> str:
        return document.title or document.url

    @admin.action(description="Try again")
    def try_again(self, request: HttpRequest, queryset: QuerySet[Document]) -> None:
        for source in Source.objects.filter(id__in=queryset.values("source"), deleting=False):
            run = start_run(source)
            Document.objects.filter(id__in=queryset.values("id"), source=source).queue(run_id=run.pk)
        tell_workers(request)


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = (
        "source",
        "state",
        "documents_of",
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

    @admin.display(description="documents")
    def documents_of(self, run: Run) -> int:
        return int(run.figures["documents"]) if run.figures else run.documents.count()

    @admin.display(description="saved")
    def saved(self, run: Run) -> str:
        return saved_sentence(run.figures["saved"]) if run.figures else ""

    @admin.display(description="left out")
    def left_out(self, run: Run) -> str:
        return format_html_join("", "<div>{} {}</div>", run.remarks.items())


@admin.register(Collection)
class CollectionAdmin(ReadOnlyAdmin):
    list_display = ("name", "model", "pooling", "dimension", "use", "last_audit", "created_at")

    @admin.display(description="use")
    def use(self, row: Collection) -> str:
        if row.building:
            return progress_sentence(build_progress() or {})
        return "searched" if row.active else "dropped by a later audit"

    @admin.display(description="last audit")
    def last_audit(self, row: Collection) -> str:
        return ", ".join(f"{value} {key}" for key, value in row.audit.items())


def number_in(states: Iterable[str]) -> Coalesce:
    """How many of a source's documents are in these states, from an index alone: three of these take 10 ms for
    100 000 documents, counting them in a join 60."""
    rows = Document.objects.filter(source=OuterRef("pk"), state__in=list(states)).order_by()
    return Coalesce(Subquery(rows.values("source").annotate(n=Count("*")).values("n")), 0)


def latest_run(source: Source) -> Run | None:
    runs = list(source.runs.all())  # prefetched: the newest
    return runs[0] if runs else None


def tell_workers(request: HttpRequest) -> None:
    """Wake the dispatcher once the rows are committed; if the broker is down the rows still stand."""
    transaction.on_commit(lambda: announce(request))


def announce(request: HttpRequest) -> None:
    try:
        tasks.wake()
    except IngestionError as error:
        messages.warning(request, f"Saved. {error}")
    else:
        messages.success(request, "Work is under way; reload this page to see its progress.")
