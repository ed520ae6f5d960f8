"""Roles of staff: what each may do in the admin, and that what they did is kept."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from ingestion.models import Delivery, Document, Run, Source, Subscription
from tests.support.rows import make_chunk, make_document, make_source

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean_redis")]
SOURCES = "admin:ingestion_source_changelist"
DOCUMENTS = "admin:ingestion_document_changelist"
DELIVERIES = "admin:ingestion_delivery_changelist"


def as_role(role: str) -> Client:
    User.objects.create_user(role, password="secret")
    call_command("roles", role, role, stdout=StringIO())
    client = Client()
    client.force_login(User.objects.get(username=role))
    return client


def act(client: Client, where: str, action: str, *chosen: int) -> None:
    client.post(reverse(where), {"action": action, "_selected_action": chosen})


def log() -> list[tuple[str, str, str]]:
    rows = LogEntry.objects.order_by("id").select_related("user")
    return [(entry.user.get_username(), str(entry), entry.get_change_message()) for entry in rows]


def test_viewers_see_everything_and_change_nothing() -> None:
    client, source = as_role("viewers"), make_source()
    document = make_document(source, state=Document.State.FAILED)
    Run.objects.update(state=Run.State.FINISHED)
    assert client.get(reverse(SOURCES)).status_code == client.get(reverse(DOCUMENTS)).status_code == 200
    assert client.get(reverse("admin:ingestion_source_add")).status_code == 403
    for action in ("ingest_now", "remove_missing_pages", "delete_with_vectors"):
        act(client, SOURCES, action, source.pk)
    act(client, DOCUMENTS, "try_again", document.pk)
    source.refresh_from_db()
    document.refresh_from_db()
    assert (source.deleting, document.state) == (False, Document.State.FAILED)
    assert not Run.objects.active().exists()
    assert log() == []


def test_editors_ingest_and_do_not_delete() -> None:
    client, source = as_role("editors"), make_source()
    document = make_document(source, state=Document.State.FAILED)
    Run.objects.update(state=Run.State.FINISHED)
    act(client, SOURCES, "ingest_now", source.pk)
    assert Run.objects.active().count() == 1
    act(client, DOCUMENTS, "try_again", document.pk)
    document.refresh_from_db()
    assert document.state == Document.State.WAITING
    act(client, SOURCES, "delete_with_vectors", source.pk)
    assert not Source.objects.get().deleting
    assert client.get(reverse("admin:admin_logentry_changelist")).status_code == 403
    assert [(who, said) for who, _, said in log()] == [
        ("editors", "Ingest now: a run is under way."),
        ("editors", "Try again."),
    ]


def test_operators_delete_and_read_who_did_what() -> None:
    client, source = as_role("operators"), make_source("handbook")
    act(client, SOURCES, "remove_missing_pages", source.pk)
    act(client, SOURCES, "delete_with_vectors", source.pk)
    assert not Source.objects.filter(deleting=False).exists()
    page = client.get(reverse("admin:admin_logentry_changelist"))
    assert "handbook" in page.text and "Remove missing pages: 0 missing pages leave" in page.text
    assert client.get(reverse("admin:auth_user_changelist")).status_code == 403
    assert [entry[1] for entry in log()][-1].startswith("Deleted “handbook")


@pytest.mark.parametrize(("role", "may"), [("operators", True), ("editors", False)])
def test_only_operators_delete_a_source_on_its_own_page_whatever_hangs_on_it(role: str, may: bool) -> None:
    client, source = as_role(role), make_source()
    for number in range(3):
        make_chunk(make_document(source, f"file:///{number}", state=Document.State.INDEXED), number)
    page = reverse("admin:ingestion_source_delete", args=[source.pk])
    asked = client.get(page)
    assert ("Documents: 3" in asked.text, "file:///" in asked.text) == (may, False)
    assert client.post(page, {"post": "yes"}).status_code == (302 if may else 403)
    assert Source.objects.get().deleting == may


def sent_message() -> Delivery:
    run = Run.objects.create(source=make_source(), state=Run.State.FAILED)
    subscription = Subscription.objects.create(address="staff@example.org")
    return Delivery.objects.create(subscription=subscription, run=run, state=Delivery.State.SENT)


def test_an_operator_deletes_a_notification_with_what_it_was_sent() -> None:
    client, message = as_role("operators"), sent_message()
    page = reverse("admin:ingestion_subscription_delete", args=[message.subscription_id])
    assert client.post(page, {"post": "yes"}).status_code == 302
    assert not Subscription.objects.exists() and not Delivery.objects.exists()


@pytest.mark.parametrize(("role", "state"), [("viewers", "sent"), ("editors", "sent"), ("operators", "waiting")])
def test_only_operators_send_a_message_again_and_that_is_kept(role: str, state: str) -> None:
    client, message = as_role(role), sent_message()
    act(client, DELIVERIES, "send_again", message.pk)
    message.refresh_from_db()
    assert message.state == state
    assert [said for _, _, said in log()] == (["Send again."] if state == "waiting" else [])


def test_trying_many_documents_again_takes_no_statement_for_each(django_assert_max_num_queries: Any) -> None:
    client, source = as_role("editors"), make_source()
    documents = [make_document(source, f"file:///{n}", state=Document.State.FAILED) for n in range(60)]
    with django_assert_max_num_queries(40):
        act(client, DOCUMENTS, "try_again", *(document.pk for document in documents))
    assert not Document.objects.exclude(state=Document.State.WAITING).exists()
    assert len(log()) == 60


def test_a_role_replaces_another_and_none_takes_it_away() -> None:
    as_role("operators")
    call_command("roles", "viewers", "operators", stdout=StringIO())
    user = User.objects.get()
    assert [group.name for group in user.groups.all()] == ["viewers"]
    call_command("roles", "none", "operators", stdout=StringIO())
    assert not user.groups.exists()


def test_groups_get_exactly_their_rights_again() -> None:
    written = StringIO()
    call_command("roles", stdout=written)
    Group.objects.get(name="viewers").permissions.clear()
    call_command("roles", stdout=StringIO())
    assert Group.objects.get(name="viewers").permissions.filter(codename="view_source").exists()
    assert "viewers: ingestion.view_chunk" in written.getvalue()
    assert not Group.objects.get(name="operators").permissions.filter(content_type__app_label="auth").exists()


def test_a_name_that_nobody_has_is_refused() -> None:
    with pytest.raises(CommandError, match="no user named nobody"):
        call_command("roles", "viewers", "nobody")
