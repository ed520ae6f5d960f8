"""The retrieval test: a question with every list that its passages come from, cases with their right pages, and runs.

Staff only; trying a question and running the cases takes the right to view cases, saving one the right to add it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.views.decorators.http import require_POST

from search.access.caller import OPERATOR
from search.evaluation.cases import FOUND_WITHIN, Change, changes, run_cases
from search.evaluation.explanation import SHOWN, explain
from search.exceptions import FAILURES, SearchError
from search.forms import read_question
from search.models import CaseRun, RetrievalCase


@admin.register(RetrievalCase)
class RetrievalCaseAdmin(admin.ModelAdmin[RetrievalCase]):
    change_list_template = "admin/search/retrieval_cases.html"
    list_display = ("question", "source", "right_pages")
    search_fields = ("question",)

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("try/", self.admin_site.admin_view(self.try_question), name="search_retrieval_test"),
            path("run/", self.admin_site.admin_view(require_POST(self.run_all)), name="search_retrieval_run"),
        ]
        return own + super().get_urls()

    def get_list_display(self, request: HttpRequest) -> Any:
        last = CaseRun.objects.first()
        before = last.before() if last else None
        return (*self.list_display, place_in(last, "place in the last run"), place_in(before, "and before"))

    @admin.display(description="right pages")
    def right_pages(self, case: RetrievalCase) -> str:
        """Return the addresses, one a line."""
        return format_html_join("", "<div>{}</div>", ((page,) for page in case.pages))

    def try_question(self, request: HttpRequest) -> HttpResponse:
        """Show every list that a question's passages come from; save a case where pages are marked as right."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self.save_case(request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Retrieval test",
            "opts": self.model._meta,
            "question": request.GET.get("q", ""),
            "source": request.GET.get("source", ""),
            "may_save": self.has_add_permission(request),
        }
        if context["question"]:
            try:
                context["found"] = explain(read_question(request.GET, OPERATOR, limit=SHOWN))
            except FAILURES as error:
                messages.error(request, str(error))
        return TemplateResponse(request, "admin/search/retrieval_test.html", context)

    def save_case(self, request: HttpRequest) -> HttpResponse:
        """Save the question with the pages that are marked."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        pages = request.POST.getlist("page")[:SHOWN]
        try:
            question = read_question(request.POST, OPERATOR, limit=SHOWN)
        except SearchError as error:
            messages.error(request, str(error))
        else:
            if pages:
                RetrievalCase.objects.create(question=question.text, source=question.source, pages=pages)
                messages.success(request, "Saved as a case; it is asked with every run.")
            else:
                messages.error(request, "Mark the pages that answer the question.")
        return HttpResponseRedirect(reverse("admin:search_retrievalcase_changelist"))

    def run_all(self, request: HttpRequest) -> HttpResponse:
        """Ask all cases now and show what changed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            run = run_cases()
        except FAILURES as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(reverse("admin:search_retrievalcase_changelist"))
        return HttpResponseRedirect(reverse("admin:search_caserun_change", args=[run.pk]))


@admin.register(CaseRun)
class CaseRunAdmin(admin.ModelAdmin[CaseRun]):
    list_display = ("created_at", "reason", "model", "found", "better", "worse")
    fields = ("created_at", "reason", "model", "collection", "found", "changed")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=f"right page among the first {FOUND_WITHIN}")
    def found(self, run: CaseRun) -> str:
        """Return in how many of the run's cases a right page was among the first FOUND_WITHIN, as "3 of 7"."""
        return f"{sum(0 < place <= FOUND_WITHIN for place in run.places.values())} of {len(run.places)}"

    @admin.display(description="better than before")
    def better(self, run: CaseRun) -> int:
        """Return how many pages stand nearer to the top than in the run before."""
        return sum(change.is_better for change in changes(run))

    @admin.display(description="worse")
    def worse(self, run: CaseRun) -> int:
        """Return how many pages stand farther from the top than in the run before."""
        return sum(not change.is_better for change in changes(run))

    @admin.display(description="changed since the run before")
    def changed(self, run: CaseRun) -> str:
        """Return the cases whose pages stand elsewhere, the worse ones first."""
        return format_html_join("", "<div>{}</div>", ((sentence(change),) for change in changes(run))) or "nothing"


def sentence(change: Change) -> str:
    """Return one line on a case whose page moved: better or worse, and its place before and now."""
    direction = "better" if change.is_better else "worse"
    return f"{direction}: {change.case} — {change.before or 'not found'} → {change.place or 'not found'}"


def place_in(run: CaseRun | None, heading: str) -> Callable[[RetrievalCase], str]:
    """Return a function for a column of the admin's list: the place of a case's page in a run.

    The function returns "not asked" or "not found" where there is no place; ``heading`` is the column's.
    """

    @admin.display(description=heading)
    def place(case: RetrievalCase) -> str:
        """Return the place of a case's first right page in the run, from 1 on, or "not found" or "not asked"."""
        found = run.places.get(str(case.pk)) if run else None
        return {None: "not asked", 0: "not found"}.get(found, str(found))

    return place
