"""Who is told that a run ended, and what became of each message.

Messages: waiting → sending → sent | failed. A message that is being sent carries the end of its lease in
``next_attempt_at``; after that time it is tried again.
"""

from __future__ import annotations

import base64
import secrets
from datetime import datetime
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator, URLValidator
from django.db import models
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from ingestion.models.run import Run

SECRET_MARK = "whsec_"  # noqa: S105  how Standard Webhooks begins every secret


def check_address(text: str) -> None:
    """Raise ValidationError unless the text is a web address or a mail address."""
    try:
        (URLValidator(["https", "http"]) if "://" in text else EmailValidator())(text)
    except ValidationError as error:
        raise ValidationError("Write a web address (https://…) or one of mail.") from error


def new_nonce() -> str:
    """Return a random text, which makes a subscription's secret differ from all others."""
    return secrets.token_hex(16)


class Subscription(models.Model):
    """An address that is told when a run ends. Its secret is made of SECRET_KEY and ``nonce``; it is stored nowhere."""

    address = models.CharField(
        max_length=2048,
        validators=[check_address],
        help_text="A web address, which gets a signed POST (Standard Webhooks), or one of mail.",
    )
    on_failed = models.BooleanField("failed runs", default=True)
    on_held = models.BooleanField("held runs", default=True, help_text="Those that wait for a decision.")
    on_finished = models.BooleanField("finished runs", default=False)
    active = models.BooleanField(default=True)
    stopped_because = models.CharField(max_length=200, blank=True, editable=False)
    nonce = models.CharField(max_length=32, default=new_nonce, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "notification"
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        # Whoever knows the path of a chat's web address can write there.
        return self.address if self.by_mail else "/".join(self.address.split("/")[:3]) + "/…"

    @property
    def by_mail(self) -> bool:
        """Return whether the address is one of mail."""
        return "://" not in self.address

    @property
    def secret(self) -> str:
        """Return the key that signs the messages to this address, in the form in which a receiver enters it."""
        digest = salted_hmac("ingestion.webhook", self.nonce, algorithm="sha256").digest()
        return SECRET_MARK + base64.b64encode(digest).decode()

    def wanted_states(self) -> list[str]:
        """Return the states of runs that this address is told of."""
        wants = {Run.State.FAILED: self.on_failed, Run.State.HELD: self.on_held, Run.State.FINISHED: self.on_finished}
        return [state for state, wanted in wants.items() if wanted]


class DeliveryQuerySet(QuerySet["Delivery"]):
    """Filters and transitions of messages."""

    def due(self) -> DeliveryQuerySet:
        """Select the messages that may be sent now, those included whose worker vanished."""
        open_states = (Delivery.State.WAITING, Delivery.State.SENDING)
        return self.filter(state__in=open_states, next_attempt_at__lte=timezone.now(), subscription__active=True)

    def claim(self, delivery_id: int, *, until: datetime) -> bool:
        """Claim a message that is due, and count the attempt. Return False when it is not due any more."""
        claimed = (
            self.due()
            .filter(id=delivery_id)
            .update(state=Delivery.State.SENDING, attempts=F("attempts") + 1, next_attempt_at=until)
        )
        return bool(claimed)


class Delivery(models.Model):
    """One message about one run to one address."""

    class State(models.TextChoices):
        WAITING = "waiting"
        SENDING = "sending"
        SENT = "sent"
        FAILED = "failed"

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="deliveries")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    answer = models.CharField(max_length=300, blank=True, help_text="What the last attempt came to.")
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = "sent notification"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["subscription", "run"], name="told_once_of_a_run"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at"], condition=Q(state__in=("waiting", "sending")), name="delivery_due")
        ]

    def __str__(self) -> str:
        return f"{self.run} → {self.subscription}"
