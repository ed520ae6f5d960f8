"""/feedback: whether an answer helped, from whoever was given it."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.http import Http404, HttpRequest
from ninja import Router

from search.access.caller import ASK, Caller
from search.answering.feedback import rate
from search.answering.keeping import passages_of
from search.api.v1.door import Door, caller_of
from search.api.v1.responses import documented
from search.api.v1.schemas import FeedbackIn, FeedbackOut
from search.catalogue import may_see
from search.models import StoredAnswer

MISSING = "There is no such answer of yours. /ask tells the id of each, and they are kept for a while only."

router = Router(tags=["questions"])


@router.post("/feedback", auth=Door(ASK), **documented(FeedbackOut, 400, 404, door=ASK))
async def feedback(request: HttpRequest, feedback: FeedbackIn) -> Any:
    """Say whether an answer of `/ask` helped, and what is wrong with it; staff read it. The last word counts."""
    await sync_to_async(rated)(caller_of(request), feedback)
    return {"id": feedback.id, "rating": feedback.rating, "note": feedback.note.strip()}


def rated(caller: Caller, feedback: FeedbackIn) -> None:
    """Store what the caller says of an answer that it was given. Raises Http404."""
    stored = StoredAnswer.objects.filter(key=feedback.id, reader=reader_of(caller)).first()
    if stored is None or not may_see(caller, {passage.document for passage in passages_of(stored)}):
        raise Http404(
            "There is no such answer of yours. /ask tells the id of each, and they are kept for a while only."
        )
    rate(stored, feedback.rating, feedback.note)


def reader_of(caller: Caller) -> str:
    """Return the caller's name in the rows of stored answers; empty for an anonymous one, who needs the id only."""
    return "" if caller.anonymous else caller.name
