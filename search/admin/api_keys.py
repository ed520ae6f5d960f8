"""API keys: made here, shown once, and revoked.

What a key may do is chosen when it is made and does not change; how often it may do it does.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers

from search.access.keys import issue
from search.models import ApiKey


class ApiKeyForm(forms.ModelForm[ApiKey]):
    class Meta:
        model = ApiKey
        fields = (
            "name", "can_search", "can_ask", "can_admin", "sources", "search_limit", "ask_limit", "expires_at",
        )  # fmt: skip


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin[ApiKey]):
    form = ApiKeyForm
    list_display = ("name", "state", "scopes_of", "sources_of", "expires_at", "last_used_at", "created_at", "prefix")
    filter_horizontal: ClassVar = ("sources",)
    actions = ("revoke",)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return ("can_search", "can_ask", "can_admin", "sources", "last_used_at", "revoked_at") if obj else ()

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        made = ApiKeyForm.Meta.fields
        return (*made, "last_used_at", "revoked_at") if obj else made

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Make the key of a new row, together with its sources."""
        if change:
            super().save_model(request, obj, form, change)
        else:
            request.issued_key = issue(obj, form.cleaned_data["sources"])  # type: ignore[attr-defined]  # for response_add, and nothing else

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key, in this one response and nowhere else: a message would travel in a cookie."""
        shown = {**self.admin_site.each_context(request), "opts": self.opts, "row": obj, "key": request.issued_key}  # type: ignore[attr-defined]
        response = TemplateResponse(request, "admin/search/apikey/issued.html", shown)
        add_never_cache_headers(response)
        return response

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        """Return whether the key can be used, and if not why."""
        if key.revoked_at:
            return "revoked"
        return "usable" if key.usable() else "expired"

    @admin.display(description="may")
    def scopes_of(self, key: ApiKey) -> str:
        """Return what the key may do."""
        return ", ".join(key.scopes())

    @admin.display(description="sources")
    def sources_of(self, key: ApiKey) -> str:
        """Return the names of the sources the key is limited to."""
        return (", ".join(map(str, key.sources.all())) or "none any more") if key.limited else ""

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Revoke the chosen keys; the next request with one of them is refused."""
        number = ApiKey.objects.filter(pk__in=queryset.values("pk")).revoke()
        messages.info(request, f"{number} keys are revoked.")
