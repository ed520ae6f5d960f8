"""`manage.py doctor`: is everything here that the system needs, and what is to be done where it is not."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingestion.management.diagnosis import Finding, diagnose

STYLES = {"ok": "SUCCESS", "warn": "WARNING", "fail": "ERROR"}


class Command(BaseCommand):
    help = "Look at settings, versions, disk, services, model, device and network; say what to do. Exit 1 on a failure."
    requires_system_checks = ()  # what they say is among the findings

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--site", default="", metavar="URL", help="also fetch this page, as the crawler would")
        parser.add_argument("--json", action="store_true", help="print one JSON list at the end instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = []
        for finding in diagnose(options["site"]):
            findings.append(finding)
            if not options["json"]:
                self.stdout.write(self.line(finding))
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings]))
        if failed := sorted({finding.subject for finding in findings if finding.state == "fail"}):
            raise CommandError(f"Not right: {', '.join(failed)}.")

    def line(self, finding: Finding) -> str:
        """Return a finding as a person reads it."""
        state = getattr(self.style, STYLES[finding.state])(f"{finding.state:4}")
        remedy = f"\n                   → {finding.remedy}" if finding.remedy else ""
        return f"{state}  {finding.subject:11}  {finding.says}{remedy}"
