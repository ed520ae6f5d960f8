"""Who is told of ended runs, and the log of what they were sent."""

from __future__ import annotations

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from ingestion.admin.deletion import DeletesWithRest
from ingestion.admin.read_only import ReadOnlyAdmin
from ingestion.models import Delivery, Subscription


@admin.register(Subscription)
class SubscriptionAdmin(DeletesWithRest, admin.ModelAdmin[Subscription]):
    leave_too = ("deliveries",)
    list_display = ("__str__", "on_failed", "on_held", "on_finished", "active", "stopped_because")
    fields = ("address", "on_failed", "on_held", "on_finished", "active")

    def response_add(
        self, request: HttpRequest, obj: Subscription, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret of a web address, in this one response."""
        if obj.by_mail:
            return super().response_add(request, obj, post_url_continue)
        shown = {**self.admin_site.each_context(request), "opts": self.opts, "row": obj, "secret": obj.secret}
        response = TemplateResponse(request, "admin/ingestion/subscription/secret.html", shown)
        add_never_cache_headers(response)
        return response


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("run", "subscription", "state", "attempts", "answer", "next_attempt_at", "created_at", "sent_at")
    list_filter = ("state",)
    list_select_related = ("run__source", "subscription")
    actions = ("send_again",)

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        """Return whether this person may change notifications, which is the right that sending again takes."""
        return request.user.has_perm("ingestion.change_subscription")

    @admin.action(description="Send again", permissions=["send_again"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Queue the chosen messages to be sent now, with no attempts counted; leave out those that are being sent."""
        again = queryset.exclude(state=Delivery.State.SENDING)
        LogEntry.objects.log_actions(str(request.user.pk), again, CHANGE, change_message="Send again.")
        number = again.update(state=Delivery.State.WAITING, attempts=0, next_attempt_at=timezone.now())
        messages.info(request, f"{number} messages will be sent again.")
