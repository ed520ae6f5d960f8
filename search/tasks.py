"""Celery tasks of the question page."""

from __future__ import annotations

from celery import shared_task
from django.contrib.sessions.models import Session
from django.utils import timezone

from search.models import Conversation, StoredAnswer


@shared_task
def forget_answers() -> None:
    """Delete the answers that have been kept for ANSWERS_KEPT_DAYS, conversations without any, and ended sessions."""
    StoredAnswer.objects.outdated().delete()
    Conversation.objects.filter(answers=None).delete()
    Session.objects.filter(expire_date__lt=timezone.now()).delete()  # each reader who keeps no cookie leaves one
