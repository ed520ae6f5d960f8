"""``manage.py up``: the whole system on this machine, in the foreground, until Ctrl-C."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.management.color import supports_color

from ingestion.management.diagnosis import answer_of_milvus
from ragproject.embedded import services, stack
from ragproject.embedded.preflight import StackError


class Command(BaseCommand):
    help = "Run Redis, Milvus Lite, the workers, Beat and the web server on this machine until Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--cpu-workers",
            type=int,
            default=settings.CPU_WORKERS,
            metavar="N",
            help="processes that fetch and chunk (default: %(default)s)",
        )
        parser.add_argument("--no-web", action="store_true", help="leave the web server out")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["cpu_workers"] < 1:
            raise CommandError("--cpu-workers must be 1 or more.")
        require_access()
        colour = supports_color() and not options["no_color"]
        try:
            stack.run(cpu_workers=options["cpu_workers"], with_web=not options["no_web"], colour=colour)
        except StackError as error:
            raise CommandError(str(error)) from error


def require_access() -> None:
    """Raise CommandError when Milvus runs and does not serve us, as with a wrong password.

    Its health check cannot show that: it answers everybody.
    """
    if settings.MILVUS_TOKEN and not services.milvus_trouble():
        found = answer_of_milvus()
        if found.state != "ok":
            raise CommandError(f"{found.says}. {found.remedy}")
