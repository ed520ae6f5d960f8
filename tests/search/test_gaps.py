"""What documentation lacks, by questions that were answered badly."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from search.evaluation.gaps import gaps, per_day
from search.models import StoredAnswer
from tests.support.search_services import ATTACK

UNANSWERED, ANSWERED = StoredAnswer.Outcome.UNANSWERED, StoredAnswer.Outcome.ANSWERED


def stored(question: str, **fields: Any) -> StoredAnswer:
    passages = [{"document": 911, "title": "Migrations", "heading": "Migrations › Creating"}]
    values = {"mode": "llm", "outcome": UNANSWERED, "passages": passages, **fields}
    return StoredAnswer.objects.create(question=question, **values)


def test_questions_about_one_thing_are_one_gap(index: None) -> None:
    stored("How do I squash migrations?")
    stored("Can several migrations be squashed into one?", outcome=ANSWERED, rating=-1, note="It only lists commands.")
    stored("how do I squash migrations")
    stored("Which colours does the cat have?", passages=[])
    stored("How do I create migrations?", outcome=ANSWERED, rating=1)
    largest, other = gaps()
    assert largest.example == "how do I squash migrations"
    assert len(largest.answers) == 3
    assert "Can several migrations be squashed into one?" in largest.others
    assert (largest.unanswered, largest.badly_rated, largest.notes) == (2, 1, ["It only lists commands."])
    assert largest.pages == [(911, "Migrations")]
    assert (other.example, other.pages) == ("Which colours does the cat have?", [])


def test_without_a_model_only_equal_questions_are_one_gap(db: None) -> None:
    for question in ("Squash migrations?", "squash  migrations", "Join migrations"):
        stored(question)
    assert [len(gap.answers) for gap in gaps()] == [2, 1]


def test_old_questions_are_left_out(db: None) -> None:
    old = stored("How do I squash migrations?")
    StoredAnswer.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=31))
    assert not gaps() and not per_day()


def test_questions_are_counted_by_day(db: None) -> None:
    stored("a", rating=-1)
    stored("b", outcome=ANSWERED, rating=1)
    yesterday = stored("c", outcome=ANSWERED)
    StoredAnswer.objects.filter(pk=yesterday.pk).update(created_at=timezone.now() - timedelta(days=1))
    counted = [(day.questions, day.unanswered, day.helpful, day.not_helpful) for day in per_day()]
    assert counted == [(2, 1, 1, 1), (1, 0, 0, 0)]


@pytest.mark.parametrize("address", ["gaps/", "", "{pk}/change/"])
def test_staff_see_hostile_questions_as_text(rows: None, admin_client: Client, address: str) -> None:
    pieces = [("Token", {"text": f"{ATTACK} ![x](http://evil.example) ", "citation": 0})]
    row = stored(
        f"zebra {ATTACK}", note=ATTACK, pieces=pieces, passages=[{"document": 1, "title": ATTACK, "heading": ""}]
    )
    html = admin_client.get(f"/admin/search/storedanswer/{address.format(pk=row.pk)}").content.decode()
    assert "&lt;img src=x" in html
    for active in ("<img src=x", "<script>", 'href="http://evil'):
        assert active not in html


def test_readers_do_not_see_what_staff_see(client: Client, db: None) -> None:
    assert client.get("/admin/search/storedanswer/gaps/").status_code == 302
