"""Who is told that a run ended: signed, once, again after a failure, never through a redirect or into our network."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail as outbox
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks import Webhook, WebhookVerificationError

from ingestion import tasks
from ingestion.models import Delivery, Run, Subscription
from ingestion.notifications import deliver, mail, webhook
from ingestion.notifications.outcome import Outcome
from tests.support.local_site import LocalSite
from tests.support.rows import make_source

pytestmark = pytest.mark.django_db
SENDING, WAITING, SENT, FAILED = (Delivery.State[name] for name in ("SENDING", "WAITING", "SENT", "FAILED"))


def ended(state: str = Run.State.FAILED, **fields: Any) -> Run:
    source = make_source(f"docs {Run.objects.count()}", target=f"/docs{Run.objects.count()}")
    return Run.objects.create(source=source, state=state, finished_at=timezone.now(), **fields)


def told(address: str, **fields: Any) -> Delivery:
    """The message about a run that failed, after one attempt."""
    Subscription.objects.create(address=address, **fields)
    ended(error="The host does not answer.", figures={"documents": 3, "indexed": 2, "failed": 1, "seconds": 4})
    return attempt()


def attempt() -> Delivery:
    deliver.write_messages()
    for delivery_id in deliver.messages_to_send():
        deliver.send(delivery_id)
    return Delivery.objects.get()


def again(message: Delivery) -> Delivery:
    """The message after its next attempt, as if its pause were over."""
    Delivery.objects.filter(pk=message.pk).update(next_attempt_at=timezone.now())
    return attempt()


def test_a_receiver_can_check_who_sent_a_message(site: LocalSite) -> None:
    message = told(site.page("/hook"))
    [request] = site.seen
    assert (message.state, message.answer, message.attempts) == (SENT, "HTTP 200", 1)
    body = Webhook(message.subscription.secret).verify(request.body, dict(request.headers))
    assert (body["type"], body["data"]["error"]) == ("run.failed", "The host does not answer.")
    assert body["data"]["figures"] == {"documents": 3, "indexed": 2, "failed": 1}
    assert request.headers["webhook-id"] == f"msg_{message.pk}"
    with pytest.raises(WebhookVerificationError):
        Webhook(message.subscription.secret).verify(request.body + b" ", dict(request.headers))


def test_secrets_differ_and_follow_the_secret_key(settings: Settings) -> None:
    one, two = (Subscription(address="https://example.org/") for _ in range(2))
    assert one.secret != two.secret
    before = one.secret
    settings.SECRET_KEY = "another"
    assert one.secret != before
    assert one.nonce not in one.secret


def test_a_run_is_told_of_once_to_each_address(site: LocalSite) -> None:
    Subscription.objects.create(address=site.page("/one"))
    Subscription.objects.create(address=site.page("/two"), on_finished=True)
    ended(Run.State.FAILED)
    ended(Run.State.HELD)
    ended(Run.State.FINISHED)
    Run.objects.create(source=make_source("going on", target="/on"), state=Run.State.RUNNING)
    assert (deliver.write_messages(), deliver.write_messages()) == (5, 0)
    assert Delivery.objects.filter(run__state=Run.State.FINISHED).count() == 1


def test_nobody_is_told_of_what_ended_before_or_long_ago(site: LocalSite) -> None:
    ended()
    Subscription.objects.create(address=site.page("/hook"))
    Subscription.objects.create(address=site.page("/old"))
    Subscription.objects.filter(address__endswith="/old").update(created_at=timezone.now() - timedelta(days=9))
    for days in (4, 1):  # long ago for the one, before there was the other
        Run.objects.update(finished_at=timezone.now() - timedelta(days=days))
        Subscription.objects.filter(address__endswith="/old").update(active=days == 4)
        assert deliver.write_messages() == 0


def test_a_receiver_that_fails_is_tried_again_with_longer_pauses(site: LocalSite) -> None:
    message = told(site.page("/hook", status=500))
    pauses = []
    while message.state == WAITING:
        pauses.append((message.next_attempt_at - timezone.now()).total_seconds())
        message = again(message)
    assert len(site.seen) == len(deliver.PAUSES) + 1 == message.attempts
    assert len({request.headers["webhook-id"] for request in site.seen}) == 1
    for pause, planned in zip(pauses, deliver.PAUSES, strict=True):
        assert planned * 0.5 < pause <= planned * 1.2
    assert (message.state, message.answer) == (FAILED, "HTTP 500")


def test_a_receiver_that_is_back_gets_the_message(site: LocalSite) -> None:
    message = told(site.page("/hook", status=503, Retry_After="900"))
    assert (message.next_attempt_at - timezone.now()).total_seconds() > 600
    site.page("/hook", status=204)
    assert again(message).state == SENT


@pytest.mark.parametrize("header", ["99999999999", "9" * 400])
def test_a_receiver_that_asks_to_wait_for_years_is_told_within_a_day(site: LocalSite, header: str) -> None:
    message = told(site.page("/hook", status=503, Retry_After=header))
    assert message.state == WAITING
    assert message.next_attempt_at - timezone.now() < timedelta(days=1)


def test_a_receiver_that_is_gone_is_told_nothing_more(site: LocalSite) -> None:
    message = told(site.page("/hook", status=410))
    message.subscription.refresh_from_db()
    assert (message.state, message.subscription.active) == (FAILED, False)
    assert "410" in message.subscription.stopped_because
    ended()
    assert deliver.write_messages() == 0


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/", "/elsewhere", "https://example.org/"])
def test_a_redirect_is_not_followed(site: LocalSite, target: str) -> None:
    message = told(site.page("/hook", status=307, Location=target))
    assert site.paths == ["/hook"]
    assert message.state == WAITING
    assert "not followed" in message.answer


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:{port}/hook", "http://169.254.169.254/", "http://10.0.0.1/hook", "http://[::1]:{port}/hook"],
)
def test_our_own_network_is_refused_at_once(site: LocalSite, settings: Settings, address: str) -> None:
    settings.FETCH_PRIVATE_NETWORKS = []
    message = told(address.format(port=site.port))
    assert (message.state, message.attempts, site.seen) == (FAILED, 1, [])
    assert "/hook" not in message.answer


def test_a_slow_receiver_is_given_up_and_holds_up_nobody_else(site: LocalSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "SECONDS", 0.5)
    slow = site.answer("/slow", lambda handler: handler.drip(b"HTTP/1.1 200 OK\r\n" * 1000))
    first = told(slow)
    assert (first.state, first.attempts) == (WAITING, 1)
    assert "longer than 0.5 s" in first.answer
    ended()
    Subscription.objects.create(address=site.page("/quick"))
    Subscription.objects.filter(address=site.url("/quick")).update(created_at=timezone.now() - timedelta(hours=1))
    deliver.write_messages()
    Delivery.objects.filter(pk=first.pk).update(state=SENDING, next_attempt_at=timezone.now() + timedelta(hours=1))
    chosen = Delivery.objects.filter(id__in=deliver.messages_to_send())
    assert {delivery.subscription.address for delivery in chosen} == {site.url("/quick")}
    assert chosen.get().run == first.run  # the older one of two


def test_two_workers_do_not_send_one_message_twice(site: LocalSite) -> None:
    Subscription.objects.create(address=site.page("/hook"))
    ended()
    deliver.write_messages()
    [delivery_id] = deliver.messages_to_send()
    assert Delivery.objects.claim(delivery_id, until=timezone.now() + deliver.LEASE)
    deliver.send(delivery_id)
    assert site.seen == []
    Delivery.objects.update(next_attempt_at=timezone.now())  # the first worker is gone
    deliver.send(delivery_id)
    assert (len(site.seen), Delivery.objects.get().state) == (1, SENT)


def test_what_a_worker_says_that_was_stopped_for_too_long_changes_nothing(site: LocalSite) -> None:
    Subscription.objects.create(address=site.page("/hook"))
    ended()
    deliver.write_messages()
    stopped, other = (claimed() for _ in range(2))
    deliver.settle(stopped, Outcome("The connection broke."))
    assert Delivery.objects.get().state == SENDING
    deliver.settle(other, Outcome("HTTP 200", sent=True))
    for late in (stopped, other):
        deliver.settle(late, Outcome("The connection broke."))
    assert Delivery.objects.get().state == SENT


def claimed() -> Delivery:
    """The only message, claimed by a worker whose lease is over at once."""
    assert Delivery.objects.claim(Delivery.objects.get().pk, until=timezone.now())
    return Delivery.objects.get()


def test_mail_is_sent_through_the_settings_of_django(settings: Settings) -> None:
    settings.EMAIL_HOST = "mail.example.org"
    Subscription.objects.create(address="ops@example.org", on_finished=True)
    run = ended(Run.State.HELD, error="More than a fifth of the pages are missing.")
    run.source.name = "Docs\nBcc: everybody@example.org"
    run.source.save()
    assert attempt().state == SENT
    [sent] = outbox.outbox
    assert (sent.to, sent.subject) == (["ops@example.org"], "Docs Bcc: everybody@example.org: run held")
    assert "More than a fifth" in sent.body


def test_a_mail_that_cannot_be_written_is_an_attempt_that_failed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unspelled(*args: object, **options: object) -> None:
        "\u00fc".encode("ascii")  # as smtplib does with a password

    settings.EMAIL_HOST = "mail.example.org"
    monkeypatch.setattr(mail, "send_mail", unspelled)
    assert told("ops@example.org").answer == "The mail server did not take it (UnicodeEncodeError)."


def test_mail_without_a_server_says_what_to_set() -> None:
    message = told("ops@example.org")
    assert message.state == WAITING
    assert "EMAIL_URL" in message.answer


def test_a_mail_server_that_does_not_answer_is_tried_again(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    assert told("ops@example.org").answer == "The mail server did not take it (ConnectionRefusedError)."


@pytest.mark.parametrize("address", ["", "nobody", "ftp://example.org/", "file:///etc/passwd", "a@b@c", "https://"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        Subscription(address=address).full_clean()


def test_the_job_sends_what_is_due(site: LocalSite, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    Subscription.objects.create(address=site.page("/hook"))
    ended()
    monkeypatch.setattr(tasks.deliver, "delay", tasks.deliver)
    tasks.notify()
    assert len(site.seen) == 1
    assert settings.CELERY_BEAT_SCHEDULE["notify"]["task"] == tasks.notify.name


def test_the_admin_shows_a_secret_once_and_no_path_of_an_address(admin_client: Client, site: LocalSite) -> None:
    fields = {"address": "https://chat.example.org/hooks/T0K3N", "on_failed": "on", "active": "on"}
    page = admin_client.post(reverse("admin:ingestion_subscription_add"), fields)
    row = Subscription.objects.get()
    assert row.secret in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    listed = admin_client.get(reverse("admin:ingestion_subscription_changelist")).content.decode()
    assert row.secret not in listed
    assert "T0K3N" not in listed
    Subscription.objects.update(address=site.page("/hook", status=500))
    ended()
    message = attempt()
    log = reverse("admin:ingestion_delivery_changelist")
    assert "HTTP 500" in admin_client.get(log).content.decode()
    admin_client.post(log, {"action": "send_again", "_selected_action": [message.pk]})
    site.page("/hook")
    assert attempt().state == SENT
