"""Readers' questions with the answers that they were given; how many there are a day, and what to write next."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.safestring import SafeString, mark_safe

from search.answering.keeping import events_of
from search.evaluation.gaps import DAYS, gaps, per_day
from search.models import StoredAnswer
from search.pages.answer_html import answer_html


@admin.register(StoredAnswer)
class StoredAnswerAdmin(admin.ModelAdmin[StoredAnswer]):
    """Staff read and delete answers; nobody edits them."""

    list_display = ("question", "outcome", "rating", "note", "source", "is_shared", "created_at")
    list_filter = ("outcome", "rating", "mode", "source", "created_at")
    search_fields = ("question", "note")
    date_hierarchy = "created_at"
    show_full_result_count = False
    fields = (
        *("question", "read_as", "source", "version", "outcome", "answer"),
        *("rating", "note", "found", "versions", "timings"),
    )
    readonly_fields = fields
    change_list_template = "search/admin_answers.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        """Return the admin's usual URL patterns and that of ``gaps_view``, the page on badly answered questions."""
        return [
            path("gaps/", self.admin_site.admin_view(self.gaps_view), name="search_gaps"),
            *super().get_urls(),
        ]

    def gaps_view(self, request: HttpRequest) -> HttpResponse:
        """Show the questions of each day, and groups of those that were answered badly."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        days = per_day()
        shown = {
            **self.admin_site.each_context(request),
            "title": "What to write next",
            "opts": self.model._meta,
            "gaps": gaps(),
            "days": days,
            "most": max((day.questions for day in days), default=0),
            "span": DAYS,
        }
        return render(request, "search/admin_gaps.html", shown)

    @admin.display(description="shared", boolean=True)
    def is_shared(self, stored: StoredAnswer) -> bool:
        """Return whether the answer has a link that everybody may follow."""
        return stored.shared_at is not None

    @admin.display(description="answer")
    def answer(self, stored: StoredAnswer) -> SafeString:
        """Return the answer as its reader saw it; ``answer_html`` lets nothing active pass."""
        return mark_safe(answer_html(events_of(stored), extracts=stored.mode == "extractive"))  # noqa: S308

    @admin.display(description="passages")
    def found(self, stored: StoredAnswer) -> str:
        """Return the titles of the passages, one to a line."""
        return "\n".join(f"[{n}] {p['title']} › {p['heading']}" for n, p in enumerate(stored.passages, 1))
