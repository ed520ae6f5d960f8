"""`manage.py roles`: make the groups of staff, show their rights, and give a role to people."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError

from ingestion.management.roles import ROLES, make_groups


class Command(BaseCommand):
    help = "Make the roles viewers, editors and operators, and show their rights; with names, give people one of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", nargs="?", choices=[*ROLES, "none"], help="the role to give, instead of any other")
        parser.add_argument("user", nargs="*", help="who is to have it; they may log in to the admin then")

    def handle(self, *args: Any, **options: Any) -> None:
        rights = make_groups()
        if not options["role"]:
            for role, names in rights.items():
                self.stdout.write(f"{role}: {', '.join(names)}")
            return
        users = get_user_model().objects.filter(username__in=options["user"])
        if unknown := set(options["user"]) - set(users.values_list("username", flat=True)):
            raise CommandError(f"There is no user named {', '.join(sorted(unknown))}.")
        if not users:
            raise CommandError("Say who is to have the role.")
        for user in users:
            user.groups.remove(*Group.objects.filter(name__in=ROLES))
            if options["role"] != "none":
                user.groups.add(Group.objects.get(name=options["role"]))
                user.is_staff = True
                user.save(update_fields=["is_staff"])
            self.stdout.write(f"{user.get_username()}: {options['role']}")
