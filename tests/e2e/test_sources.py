"""Sources of four kinds through one running stack: each answer leads to the document that says it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings

from tests.benchmarks.served import Site, served
from tests.conftest import wait_until
from tests.support.running import Running, destroy, ingest, manage, start

pytestmark = pytest.mark.e2e

PAGES = {
    "/bees/": ("Bees", "Beekeepers smoke the hive before they lift the frames out of it."),
    "/bread/": ("Bread", "Sourdough rises overnight in a cool larder before it is baked."),
    "/sails/": ("Sails", "A spinnaker is hoisted when the wind comes from behind the boat."),
    "/clocks/": ("Clocks", "The pendulum of a longcase clock swings once in a second."),
    "/unlisted/": ("Unlisted", "No list names this page, though all the others link to it."),
}
LINES = [
    {"_id": "1", "title": "Kettles", "text": "Descale a kettle with vinegar.", "url": "https://docs.example/kettles"},
    {"_id": "2", "title": "Violins", "text": "Rosin makes the bow of a violin grip its strings."},
]
FILES = {
    "guide/lamps.md": b"# Lamps\n\n## Wicks\n\nTrim the wick of an oil lamp before you light it.\n",
    "guide/knots.rst": b"Knots\n=====\n\nA bowline makes a loop that does not slip under load.\n",
    "picture.png": b"\x89PNG\r\n",
}


def html(path: str) -> bytes | None:
    if path not in PAGES:
        return None
    title, text = PAGES[path]
    links = "".join(f'<a href="{other}">{other}</a> ' for other in PAGES)
    return f"<title>{title}</title><main><h1 id=top>{title}</h1><p>{text}</p>{links}</main>".encode()


def served_file(path: str) -> bytes | None:
    return SITEMAP.encode() if path == "/sitemap.xml" else html(path)


SITEMAP = "<urlset><url><loc>/sails/</loc></url><url><loc>/clocks/</loc></url></urlset>"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with served(Site(served_file)) as address:
        yield address


@pytest.fixture(scope="module")
def stack(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("sources")
    (folder / "models").mkdir()
    (folder / "models" / settings.STAND_IN).symlink_to(model_path)
    running = start(folder, FETCH_PRIVATE_NETWORKS="127.0.0.0/8", DISPATCH_SECONDS="0.5")
    running.until(running.ready)
    yield running
    destroy(running)


def address_of(stack: Running, path: str) -> str:
    return f"http://127.0.0.1:{stack.environment['WEB_PORT']}{path}"


def signed_in(stack: Running) -> requests.Session:
    stack.environment["DJANGO_SUPERUSER_PASSWORD"] = "not a secret"
    made = manage(stack, "createsuperuser", "--noinput", "--username", "staff", "--email", "staff@docs.example")
    assert made.returncode == 0, made.stderr
    session = requests.Session()
    submit(session, address_of(stack, "/admin/login/?next=/admin/"), username="staff", password="not a secret")
    return session


def submit(session: requests.Session, url: str, files: Any = None, **fields: str) -> str:
    session.get(url, timeout=60)
    fields["csrfmiddlewaretoken"] = session.cookies["csrftoken"]
    answer = session.post(url, data=fields, files=files, timeout=60)
    answer.raise_for_status()
    return answer.text


def upload(stack: Running) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        for name, body in FILES.items():
            written.writestr(name, body)
    blank = {"include": "", "exclude": "", "delay_seconds": "", "connections": "", "refresh_seconds": "0"}
    bounds = {"max_pages": "0", "max_depth": "2", "max_alike": "0"}
    files = {"upload": ("handbook.zip", archive.getvalue(), "application/zip")}
    url = address_of(stack, "/admin/ingestion/source/add/")
    shown = submit(signed_in(stack), url, files, name="handbook", kind="uploads", target="", **blank, **bounds)
    assert "2 added" in shown and "picture.png" in shown


def figures(stack: Running) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manage(stack, "status", "--json").stdout)
    return found


def is_uploaded(stack: Running) -> bool:
    (source,) = (source for source in figures(stack)["sources"] if source["name"] == "handbook")
    return bool(source["documents"] == {"indexed": 2})


@pytest.fixture(scope="module")
def ingested(stack: Running, site: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All four at once, as they come when staff work side by side."""
    folder = tmp_path_factory.mktemp("targets")
    (folder / "lines.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in LINES))
    (folder / "list.txt").write_text(f"# ours\n- {site}/bees/\n{site}/bread/#top\n{site}/bees/\n")
    with ThreadPoolExecutor() as side_by_side:
        uploaded = side_by_side.submit(upload, stack)
        runs = {
            "lines": side_by_side.submit(ingest, stack, folder / "lines.jsonl", "--name", "lines"),
            "list": side_by_side.submit(ingest, stack, folder / "list.txt", "--kind", "urls", "--name", "list"),
            "sitemap": side_by_side.submit(ingest, stack, f"{site}/sitemap.xml", "--name", "sitemap"),
        }
    uploaded.result()
    wait_until(lambda: is_uploaded(stack), every=1)
    return {name: run.result() for name, run in runs.items()}


@pytest.mark.parametrize("name", ["lines", "list", "sitemap"])
def test_every_document_that_is_named_is_indexed_and_no_other(ingested: dict[str, dict[str, Any]], name: str) -> None:
    run = ingested[name]
    assert (run["code"], run["documents"], run["indexed"], run["failed"]) == (0, 2, 2, 0), run


def test_the_index_holds_all_of_it_and_nothing_twice(stack: Running, ingested: object) -> None:
    now = figures(stack)
    assert now["documents"] == {"indexed": 8}
    assert now["index"]["rows"] == now["chunks"]["indexed"] == 8


@pytest.mark.parametrize(
    ("question", "link", "words"),
    [
        ("How do I clean a kettle?", "https://docs.example/kettles", "vinegar"),
        ("What do beekeepers do before they lift the frames?", "{site}/bees/#top", "smoke the hive"),
        ("When does sourdough rise?", "{site}/bread/#top", "overnight"),
        ("When is a spinnaker hoisted?", "{site}/sails/#top", "from behind"),
        ("How fast does the pendulum of a clock swing?", "{site}/clocks/#top", "once in a second"),
    ],
)
def test_an_answer_leads_to_the_page_that_says_it(
    stack: Running, ingested: object, site: str, question: str, link: str, words: str
) -> None:
    passage = best(stack, question)
    assert (passage["link"], passage["external"]) == (link.format(site=site), True)
    assert words in passage["text"]


@pytest.mark.parametrize(
    ("question", "words", "title"),
    [
        ("What does rosin do for a violin?", "grip its strings", "Violins"),
        ("What do I do before I light an oil lamp?", "Trim the wick", "Lamps"),
        ("Which knot makes a loop that does not slip?", "bowline", "Knots"),
    ],
)
def test_an_answer_out_of_a_file_leads_to_its_text_as_it_was_read(
    stack: Running, ingested: object, question: str, words: str, title: str
) -> None:
    passage = best(stack, question)
    assert (passage["title"], passage["external"]) == (title, False)
    shown = requests.get(address_of(stack, passage["link"]), timeout=60)
    shown.raise_for_status()
    assert words in " ".join(shown.text.split())


def best(stack: Running, question: str) -> dict[str, Any]:
    answer = requests.get(address_of(stack, "/api/search"), {"q": question, "limit": "1"}, timeout=120)
    answer.raise_for_status()
    (passage,) = answer.json()["passages"]
    found: dict[str, Any] = passage
    return found
