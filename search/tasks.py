"""Celery tasks of the question page."""

from __future__ import annotations

from celery import shared_task

from search.models import Conversation, StoredAnswer


@shared_task
def forget_answers() -> None:
    """Delete the answers that have been kept for ANSWERS_KEPT_DAYS, and conversations that are left without any."""
    StoredAnswer.objects.outdated().delete()
    Conversation.objects.filter(answers=None).delete()
