"""Keys of programs. The key itself is nowhere: ``access.keys`` makes it, shows it once and compares digests."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, QuerySet
from django.utils import timezone
from limits import parse_many

from ingestion.models import Source


def check_limits(text: str) -> None:
    """Raise ValidationError for a text that is not written like "60/minute;1000/day"."""
    try:
        parse_many(text)
    except ValueError as error:
        raise ValidationError("Write limits like 60/minute;1000/day, or nothing.") from error


class ApiKeyQuerySet(QuerySet["ApiKey"]):
    """Filters and transitions of keys."""

    def usable(self) -> ApiKeyQuerySet:
        """Select the keys that are neither revoked nor expired."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)

    def revoke(self) -> int:
        """Revoke these keys, and return how many were not revoked before."""
        return self.filter(revoked_at=None).update(revoked_at=timezone.now())


class ApiKey(models.Model):
    """What a program may do, as long as it presents the key that belongs to ``digest``."""

    name = models.CharField(max_length=100, unique=True, help_text="Who or what uses it.")
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    can_search = models.BooleanField("search", default=True, help_text="Find passages and read documents.")
    can_ask = models.BooleanField("ask", default=True, help_text="Have questions answered.")
    can_admin = models.BooleanField("admin", default=False, help_text="See and change sources, and see their runs.")
    sources = models.ManyToManyField(
        Source,
        blank=True,
        help_text="The only sources it sees, whoever their readers are. None: those that everybody may read; for "
        "“admin” all.",
    )
    # Told apart from a key without sources: a limited one whose sources were all deleted sees nothing.
    limited = models.BooleanField(default=False, editable=False)
    search_limit = models.CharField(
        max_length=100,
        blank=True,
        validators=[check_limits],
        help_text="Searches that it may make, as 600/minute;10000/day. Empty: as many as others (SEARCH_LIMIT).",
    )
    ask_limit = models.CharField(
        max_length=100,
        blank=True,
        validators=[check_limits],
        help_text="Questions that it may have answered. Empty: as many as others (ASK_LIMIT).",
    )
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def scopes(self) -> list[str]:
        """Return the names of what the key may do."""
        given = {"search": self.can_search, "ask": self.can_ask, "admin": self.can_admin}
        return [scope for scope, may in given.items() if may]

    def usable(self) -> bool:
        """Return whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())
