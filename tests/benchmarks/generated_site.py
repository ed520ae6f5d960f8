"""One ingest of a site of generated pages by a stack of its own, watched from outside."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from ingestion.benchmarks import processes
from ingestion.benchmarks.corpus import files
from ingestion.benchmarks.ingest import ours
from tests.benchmarks.generated import write_pages


@dataclass(frozen=True)
class Site:
    """Pages of so many words, each answer after so many milliseconds."""

    pages: int
    words: int
    latency: float


def ingested(site: Site, workers: int, *, stub: bool) -> dict[str, Any]:
    """The figures of `manage.py ingest --json`, and the processor seconds of all processes; ``stub``: free vectors."""
    extra = {"CPU_WORKERS": str(workers)}
    if stub:
        extra |= {"DJANGO_SETTINGS_MODULE": "tests.benchmarks.stub_settings", "PYTHONPATH": str(settings.BASE_DIR)}
        extra |= {"EMBED_MODEL": settings.STAND_IN}  # its tokens are counted; its vectors are never made
    with tempfile.TemporaryDirectory(prefix="site-") as name, processes.own_services(None, **extra) as place:
        folder = write_pages(Path(name), site.pages, words=site.words, seed=1)
        with (
            processes.site(place, folder, files(folder, 0), site.latency) as address,
            processes.stack(place),
        ):
            figures = ours(place, f"{address}/sitemap.xml", os.getpid())
    assert figures["indexed"] == site.pages, figures
    return figures
