"""The roles of staff: groups with as few rights as each needs.

viewers     read sources, documents, runs and the index
editors     besides, add sources, change them, ingest them now, and try documents again
operators   besides, delete sources with their vectors, see who did what, and manage keys, notifications and all else
            that the search keeps

Who manages users and their roles is a superuser.
"""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

# Rows that hold secrets, or lead to where secrets are shown.
SECRETS = ("apikey", "subscription")
VIEW = Q(content_type__app_label__in=("ingestion", "search"), codename__startswith="view_")
VIEW &= ~Q(content_type__model__in=SECRETS)
EDIT = Q(content_type__app_label="ingestion", codename__in=("add_source", "change_source"))
OPERATE = (
    Q(content_type__app_label="ingestion", codename="delete_source")
    | Q(content_type__app_label="ingestion", content_type__model="subscription")
    | Q(content_type__app_label="search")
    | Q(content_type__app_label="admin", codename="view_logentry")
)
ROLES = {"viewers": VIEW, "editors": VIEW | EDIT, "operators": VIEW | EDIT | OPERATE}


def make_groups() -> dict[str, list[str]]:
    """Make the groups, or give those that there are exactly their rights. Return the rights by role."""
    found = {}
    for role, condition in ROLES.items():
        rights = Permission.objects.filter(condition).select_related("content_type")
        Group.objects.get_or_create(name=role)[0].permissions.set(rights)
        found[role] = sorted(f"{right.content_type.app_label}.{right.codename}" for right in rights)
    return found
