"""Callers of every kind, as rows: keys, readers in groups, and a source that only a group may read."""

from __future__ import annotations

import re

from django.contrib.auth.models import Group, User

from ingestion.models import Source
from search.access.keys import issue
from search.models import ApiKey

CALLERS = ("nobody", "searching key", "key of another source", "admin key", "reader of the group")
SEES_IT = {"admin key", "reader of the group"}
# Texts and names of the source that only a group may read.
SECRETS = re.compile(rb"makemigrations|Handbook|showmigrations")


def make_key(name: str = "program", *, sources: tuple[Source, ...] = (), **fields: object) -> str:
    """A key that may search and ask, unless ``fields`` say otherwise."""
    return issue(ApiKey(name=name, **fields), sources)


def make_reader(name: str, *groups: Group) -> User:
    user = User.objects.create_user(name, password="correct horse")
    user.groups.set(groups)
    return user


def restrict(source_id: int, group: str = "Insiders") -> Group:
    """Let only one group read a source."""
    readers, _ = Group.objects.get_or_create(name=group)
    Source.objects.get(id=source_id).readers.add(readers)
    return readers


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
