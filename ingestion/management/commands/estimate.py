"""`manage.py estimate TARGET...`: what targets would bring and cost, and the truth beside it once they are ingested."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from ingestion.management.estimates import print_estimates
from ingestion.management.targets import add_source_options, amount, count, expand
from ingestion.pipeline.report.estimate import DEVICES
from ragproject.commands import VersionedCommand


class Command(VersionedCommand):
    help = (
        "Tell what ingesting targets would bring and cost, from a sample of their pages; store nothing. "
        "Of targets that were ingested, what is stored stands beside it. Money is told when PRICE_GPU_HOUR, "
        "PRICE_CPU_HOUR or PRICE_GB_MONTH is set."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_source_options(parser)
        device = parser.add_mutually_exclusive_group()
        device.add_argument(
            "--device", choices=sorted(DEVICES), help="embed on this one with BGE-M3, instead of the one measured last"
        )
        device.add_argument("--tokens-per-second", type=amount, metavar="N", help="embed at this speed")
        parser.add_argument("--sample", type=count, default=0, metavar="N", help="pages to read (default: by kind)")
        parser.add_argument("--json", action="store_true", help="print one JSON object for each target")

    def handle(self, *args: Any, targets: list[str], **options: Any) -> None:
        rate = options["tokens_per_second"] or DEVICES.get(options["device"], 0.0)
        good = print_estimates(self.stdout, expand(targets), {"name": None, "refresh": None, **options},
                               sample=options["sample"], rate=rate)  # fmt: skip
        if not good:
            sys.exit(1)
