"""Who did what in the admin, and when: Django's own log, to be read by operators."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.models import LogEntry

from ingestion.admin.read_only import ReadOnlyAdmin


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    list_display = ("action_time", "user", "content_type", "object_repr", "action_flag", "get_change_message")
    list_filter = ("action_flag", "content_type", "user")
    search_fields = ("object_repr", "change_message")
    list_select_related = ("user", "content_type")
    date_hierarchy = "action_time"
