"""What readers and programs say of an answer that is kept: whether it helped, and a note."""

from __future__ import annotations

from search.exceptions import QuestionRefused
from search.models import StoredAnswer
from search.models.stored_answer import NOTE_CHARS

RATINGS = {"up": StoredAnswer.Rating.GOOD, "down": StoredAnswer.Rating.BAD, "": None}


def rate(stored: StoredAnswer, rating: str, note: str) -> None:
    """Store a rating and a note in the place of earlier ones. Raises QuestionRefused."""
    note = note.encode(errors="replace").decode().replace("\0", "").strip()
    if rating not in RATINGS:
        raise QuestionRefused("rating is up, down or empty.")
    if len(note) > NOTE_CHARS:
        raise QuestionRefused(f"The note has {len(note)} characters; at most {NOTE_CHARS} are kept. Shorten it.")
    StoredAnswer.objects.filter(pk=stored.pk).update(rating=RATINGS[rating], note=note)
