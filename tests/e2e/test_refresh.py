"""Sources ingested again and again by real processes: requests, vectors and rows agree with what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.benchmarks.served import Site, served
from tests.support.github_server import GitHub
from tests.support.running import Running, destroy, ingest, manage, start

pytestmark = pytest.mark.e2e

PAGES = 24


def page(number: int) -> bytes:
    links = "".join(f'<a href="/docs/{n}">{n}</a> ' for n in range(PAGES))
    text = f"<p>Page {number} tells what it knows of subject {number}, at some length.</p>" * 3
    return f"<title>Page {number}</title><main><h1>Page {number}</h1>{text}{links}</main>".encode()


@pytest.fixture(scope="module")
def site() -> Site:
    pages = {f"/docs/{n}": page(n) for n in range(PAGES)} | {"/docs/": page(0)}
    return Site(pages.get)


@pytest.fixture(scope="module")
def target(site: Site) -> Iterator[str]:
    with served(site) as address:
        yield f"{address}/docs/"


@pytest.fixture(scope="module")
def hub() -> Iterator[GitHub]:
    with GitHub() as hub:
        yield hub


@pytest.fixture(scope="module")
def stack(model_path: Path, hub: GitHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("refresh")
    (folder / "models").mkdir()
    (folder / "models" / settings.STAND_IN).symlink_to(model_path)
    times = {"DISPATCH_SECONDS": "0.5", "CRAWL_DELAY_SECONDS": "0.05"}
    running = start(folder, FETCH_PRIVATE_NETWORKS="127.0.0.0/8", GITHUB_API_URL=hub.url, **times)
    running.until(running.ready)
    yield running
    destroy(running)


def rows(stack: Running) -> int:
    """Rows in Milvus, which must be the indexed chunks."""
    now = json.loads(manage(stack, "status", "--json").stdout)
    assert now["index"]["rows"] == now["chunks"]["indexed"], now
    return int(now["index"]["rows"])


def test_a_site_is_refreshed_at_the_cost_of_what_changed(stack: Running, site: Site, target: str) -> None:
    first = ingest(stack, target)
    assert (first["indexed"], first["duplicates"], first["failed"]) == (PAGES, 1, 0), first
    before = rows(stack)

    site.not_modified = 0
    again = ingest(stack, target)
    assert (again["embedded"], again["unchanged"]) == (0, PAGES), again
    assert site.not_modified == PAGES + 1

    site.edited["/docs/7"] = page(7).replace(b"</p>", b" A new sentence.</p>", 1)
    edited = ingest(stack, target)
    assert (edited["indexed"], edited["unchanged"]) == (1, PAGES - 1), edited
    assert 1 <= edited["embedded"] <= 3
    assert rows(stack) == before

    site.gone = {"/docs/7"}
    assert ingest(stack, target)["missing"] == 1
    assert rows(stack) == before
    assert ingest(stack, target)["gone"] == 1
    assert rows(stack) == before - 1

    site.gone |= {f"/docs/{n}" for n in range(12, PAGES)}
    ingest(stack, target)
    held = ingest(stack, target)
    assert held["code"] == 1
    assert "pages are missing" in held["said"]
    assert rows(stack) == before - 1
    assert manage(stack, "ingest", target, "--accept-missing").returncode == 0
    ingest(stack, target)
    assert rows(stack) == before - 1 - 12


def test_a_repository_takes_three_calls_and_outlasts_a_spent_allowance(stack: Running, hub: GitHub) -> None:
    files = {f"docs/{n}.md": f"# File {n}\n\nWhat file {n} says.\n".encode() for n in range(30)}
    repository = hub.repository("example/project")
    repository.commit(files)
    hub.spent_at, hub.spent_seconds = "tree", 5.0  # the second call finds the allowance spent
    before = rows(stack)

    first = ingest(stack, "github:example/project/docs")
    assert (first["indexed"], first["failed"], first["code"]) == (30, 0, 0), first
    assert rows(stack) == before + 30
    answered = [call.kind for call in hub.calls if call.status in (200, 302)]
    assert answered.count("tree") == answered.count("archive") == 1
    assert 403 in {call.status for call in hub.calls}

    asked = len(hub.calls)
    repository.commit(files | {"docs/3.md": b"# File 3\n\nRewritten.\n"})
    again = ingest(stack, "github:example/project/docs")
    assert (again["indexed"], again["embedded"], again["unchanged"]) == (1, 1, 29), again
    assert len([call for call in hub.calls[asked:] if call.kind != "codeload"]) == 3
    assert rows(stack) == before + 30
