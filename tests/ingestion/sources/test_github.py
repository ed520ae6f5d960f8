"""Repositories on GitHub as sources, asked over real HTTP from a server that answers like GitHub."""

from __future__ import annotations

import errno
import gzip
import io
import stat
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings as django_settings
from pytest_django import Settings

from ingestion.coordination import redis_client
from ingestion.exceptions import (
    AddressRefused,
    FetchFailed,
    HostBusy,
    PageGone,
    SourceError,
    Throttled,
)
from ingestion.fetching import host_throttle, http_session
from ingestion.fetching.host_throttle import BackOff, Outcome
from ingestion.fetching.urls import canonical
from ingestion.sources.github import api, archives, snapshots, source
from ingestion.sources.web import crawler
from ingestion.types import Listing, Page, SourceSpec
from tests.support.github_server import PASS, GitHub, blob_sha, tarball

README = b"# Title\n\nWords.\n"
MODELS = b"======\nModels\n======\n\nA model maps to a table.\n"
FILES = {"README.md": README, "docs/models.txt": MODELS, "docs/howto/deploy.md": b"# Deploy\n", "src/a.py": b"pass\n"}


@pytest.fixture
def hub(settings: Settings, tmp_path: Path, clean_redis: object) -> Iterator[GitHub]:
    redis_client.forget()
    host_throttle._script.cache_clear()
    with GitHub() as hub:
        settings.DATA_DIR = tmp_path
        settings.FETCH_PRIVATE_NETWORKS = ["127.0.0.1/32"]
        settings.GITHUB_API_URL, settings.GITHUB_TOKEN = hub.url, ""
        yield hub
        http_session.session().close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listings that do not wait for their turn, and a host that is asked again after short pauses."""
    monkeypatch.setattr(crawler, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setitem(host_throttle.BACK_OFF, Outcome.THROTTLED, BackOff(first=0.2, longest=1.0, tolerated=0))
    monkeypatch.setitem(host_throttle.BACK_OFF, Outcome.FAULT, BackOff(first=0.0, longest=0.0, tolerated=9))


def spec(target: str = "github:o/r", **options: object) -> SourceSpec:
    return SourceSpec(kind="github", target=target, **options)  # type: ignore[arg-type]


def urls(listing: Listing) -> list[str]:
    return [document.url for document in listing.documents]


def paths(target: str = "github:o/r", **options: object) -> list[str]:
    """The paths that a listing names."""
    return [
        url.partition("/blob/")[2].partition("/")[2] for url in urls(source.list_documents(spec(target, **options)))
    ]


def address(hub: GitHub, path: str, ref: str = "HEAD") -> str:
    return f"{hub.url}/o/r/blob/{ref}/{path}"


def fetch(hub: GitHub, path: str, target: str = "github:o/r") -> Page:
    return source.fetch(spec(target), address(hub, path))


def attempts(action: Callable[[], Page]) -> Page:
    """Like a worker that gives a document back and takes it up again when its slot has come."""
    while True:
        try:
            return action()
        except HostBusy as busy:
            time.sleep(min(busy.retry_after or 0, 0.05))


# --- Targets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("github:django/django", "github:django/django"),
        (" github:Django/Django/ ", "github:django/django"),
        ("GitHub:o/r.git", "github:o/r"),
        ("github:o/dots.in_name-1", "github:o/dots.in_name-1"),
        ("github:o/r@HEAD/docs", "github:o/r/docs"),
        ("github:o/r@5.2.19", "github:o/r@5.2.19"),
        ("github:o/r@stable%2F5.2.x/docs//ref/", "github:o/r@stable%2F5.2.x/docs/ref"),
        ("github:o/r@Main/Docs/a b.md", "github:o/r@Main/Docs/a%20b.md"),
        ("github:o/r/docs/a@2x/100%25.md", "github:o/r/docs/a%402x/100%25.md"),
        ("https://github.com/Django/django", "github:django/django"),
        ("https://www.github.com/o/r.git", "github:o/r"),
        ("https://github.com/o/r/#readme", "github:o/r"),
        ("https://github.com/o/r/tree/main", "github:o/r@main"),
        ("https://github.com/o/r/tree/main/docs/?tab=readme", "github:o/r@main/docs"),
        ("https://github.com/o/r/blob/v1%2Fx/docs/%C3%A4.md", "github:o/r@v1%2Fx/docs/%C3%A4.md"),
    ],
)
def test_it_writes_a_target_in_one_way(written: str, spelled: str) -> None:
    assert source.normalise(written) == spelled
    assert source.normalise(spelled) == spelled


@pytest.mark.parametrize(
    "target",
    [
        "",
        "github:",
        "github:owner",
        "github:o/r/../x",
        "github:o/r/./x",
        "github:o/..",
        "github:o r/r",
        "github:-o/r",
        "github:o/r@a..b",
        "github:o/r@%2Fa",
        "github:o/r@a%00",
        "github:o/r@a%20b/docs",
        "github:o/r/%00",
        "https://github.com/o",
        "https://github.com/o/r/issues/1",
        "https://gitlab.com/o/r",
        "https://github.com.evil.example/o/r",
    ],
)
def test_it_refuses_what_names_no_repository(target: str) -> None:
    with pytest.raises(SourceError, match="github:owner/repo"):
        source.normalise(target)


@pytest.mark.parametrize(
    ("api_url", "site"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://api.github.com/", "https://github.com"),
        ("https://git.corp.example/api/v3", "https://git.corp.example"),
        ("https://api.octo.ghe.com", "https://octo.ghe.com"),
        ("http://git.corp.example:8080/api/v3/", "http://git.corp.example:8080"),
    ],
)
def test_it_cites_the_site_that_belongs_to_the_api(settings: Settings, api_url: str, site: str) -> None:
    settings.GITHUB_API_URL = api_url
    assert api.html_url() == site
    assert source.normalise(f"{site}/o/r/tree/main/docs") == "github:o/r@main/docs"


# --- Listing ------------------------------------------------------------------------------------------


def test_it_lists_the_documents_of_a_repository_with_their_hashes(hub: GitHub) -> None:
    hub.repository("o/r").commit(FILES)
    listing = source.list_documents(spec())
    assert listing.complete
    assert listing.notes == ()
    assert {document.url: document.version for document in listing.documents} == {
        address(hub, path): blob_sha(FILES[path]) for path in FILES if path != "src/a.py"
    }


@pytest.mark.parametrize(
    ("target", "options", "expected"),
    [
        ("github:o/r/docs", {}, ["docs/models.txt", "docs/howto/deploy.md"]),
        ("github:o/r/docs/models.txt", {}, ["docs/models.txt"]),
        ("github:o/r/docs/how", {}, None),
        ("github:o/r/src", {}, None),
        ("github:o/r/docs", {"include": ("howto/*",)}, ["docs/howto/deploy.md"]),
        ("github:o/r/docs", {"include": ("docs/*",)}, []),
        ("github:o/r/docs/models.txt", {"include": ("models.*",)}, ["docs/models.txt"]),
        ("github:o/r", {"exclude": ("*.md",)}, ["docs/models.txt"]),
        ("github:o/r/.github", {}, [".github/CONTRIBUTING.md"]),
    ],
)
def test_it_lists_what_lies_below_the_path_and_fits_the_globs(
    hub: GitHub, target: str, options: dict[str, object], expected: list[str] | None
) -> None:
    hub.repository("o/r").commit({**FILES, ".github/CONTRIBUTING.md": b"#", "docs2/x.md": b"#"})
    if expected is not None:
        assert paths(target, **options) == expected
        return
    with pytest.raises(SourceError, match="check the path"):
        paths(target, **options)


def test_it_leaves_out_what_is_hidden_a_link_a_submodule_or_too_much(hub: GitHub, settings: Settings) -> None:
    settings.FETCH_MAX_BYTES = 100
    files = {"a.md": b"#", "b.md": b"#", ".hidden.md": b"#", "x/.y/c.md": b"#", "big.txt": b"x" * 101}
    long = "/".join(["directory" * 20] * 12) + "/d.md"
    hub.repository("o/r").commit({**files, long: b"#"}, links={"link.md": "a.md"}, submodules=("vendor/lib",))
    assert paths() == ["a.md", "b.md"]
    listing = source.list_documents(spec(max_pages=1))
    assert urls(listing) == [address(hub, "a.md")]
    notes = "\n".join(sorted(listing.notes))
    assert len(listing.notes) == 4
    assert "2048 characters are left out: " in notes
    assert "(FETCH_MAX_BYTES) are left out: big.txt.\n" in notes
    assert "Only the first 1 documents" in notes
    assert notes.endswith("sources of their own: vendor/lib.")


def test_it_lists_and_cites_the_ref_that_was_given(hub: GitHub) -> None:
    repository = hub.repository("o/r")
    repository.commit({"a.md": b"new"})
    repository.commit({"a.md": b"old"}, ref="stable/5.2.x")
    [document] = source.list_documents(spec("github:o/r@stable%2F5.2.x")).documents
    assert document.url == f"{hub.url}/o/r/blob/stable/5.2.x/a.md"
    assert source.fetch(spec("github:o/r@stable%2F5.2.x"), document.url).body == b"old"
    assert fetch(hub, "a.md").body == b"new"


def test_it_spells_odd_names_as_the_site_does(hub: GitHub) -> None:
    names = ["ä b/100%.md", "a#b?c=d&e.md", "quo'te\".md", "new\nline.md", "back\\slash.md"]
    hub.repository("o/r").commit({name: name.encode() for name in names})
    found = urls(source.list_documents(spec()))
    assert f"{hub.url}/o/r/blob/HEAD/%C3%A4%20b/100%25.md" in found
    assert all(canonical(url) == url for url in found)
    assert [source.fetch(spec(), url).body.decode() for url in found] == names


def test_a_commit_as_ref_is_never_asked_for_again(hub: GitHub) -> None:
    commit = hub.repository("o/r").commit(FILES)
    for _ in range(2):
        assert paths(f"github:o/r@{commit.sha}/docs")
    assert hub.count() == {"tree": 1}


def test_a_list_that_is_cut_short_is_read_from_the_archive(hub: GitHub) -> None:
    hub.repository("o/r").commit({**FILES, "dir.md/x.rst": b"y"}, truncated=True)
    listing = source.list_documents(spec())
    assert listing.complete
    assert {d.url: d.version for d in listing.documents} == {
        address(hub, path): blob_sha(body)
        for path, body in {**FILES, "dir.md/x.rst": b"y"}.items()
        if path != "src/a.py"
    }
    assert fetch(hub, "README.md").body == README
    assert hub.count() == {"commit": 1, "tree": 1, "archive": 1}


def test_a_tree_of_many_megabytes_is_read_from_the_archive(hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MAX_TREE_BYTES", 200)
    hub.repository("o/r").commit(FILES)
    assert sorted(paths()) == ["README.md", "docs/howto/deploy.md", "docs/models.txt"]


def test_a_renamed_repository_is_found(hub: GitHub) -> None:
    hub.repository("o/new").commit(FILES)
    hub.renamed["o/r"] = "o/new"
    assert "README.md" in paths()
    assert fetch(hub, "README.md").body == README


# --- Fetching -----------------------------------------------------------------------------------------


def test_a_document_has_its_type_and_hash(hub: GitHub) -> None:
    hub.repository("o/r").commit(FILES)
    page = fetch(hub, "docs/models.txt")
    assert (page.url, page.body, page.content_type) == (address(hub, "docs/models.txt"), MODELS, "text/x-rst")
    assert page.etag == blob_sha(MODELS)
    assert fetch(hub, "README.md").content_type == "text/markdown"


@pytest.mark.parametrize(
    "url",
    [
        "{hub}/o/r/blob/HEAD/README.md",
        "{hub}/o/r/blob/main/docs/models.txt",
        "{hub}/o/other/blob/HEAD/docs/models.txt",
        "{hub}/o/r/blob/HEAD/docs/../README.md",
        "{hub}/o/r/blob/HEAD/docs/%2E%2E/README.md",
        "{hub}/o/r/blob/HEAD/docs//models.txt",
        "{hub}/o/r/blob/HEAD/docs/a%00.txt",
        "{hub}/o/r/blob/HEAD/docs",
        "https://github.com/o/r/blob/HEAD/docs/models.txt",
        "docs/models.txt",
    ],
)
def test_it_refuses_an_address_that_is_not_below_the_target(hub: GitHub, url: str) -> None:
    hub.repository("o/r").commit(FILES)
    with pytest.raises((AddressRefused, PageGone) if url.endswith("/docs") else AddressRefused):
        source.fetch(spec("github:o/r/docs"), url.format(hub=hub.url))


def test_a_file_that_is_gone_is_a_page_gone(hub: GitHub) -> None:
    repository = hub.repository("o/r")
    repository.commit(FILES)
    paths()
    with pytest.raises(PageGone, match=r"gone\.md does not exist"):
        fetch(hub, "gone.md")


def test_what_is_kept_out_of_archives_is_fetched_by_itself_once(hub: GitHub) -> None:
    hub.repository("o/r").commit(FILES, unarchived=("docs/models.txt", "docs/howto/deploy.md"))
    assert len(paths()) == 3
    for _ in range(2):
        assert fetch(hub, "README.md").body == README
        assert fetch(hub, "docs/models.txt").body == MODELS
    assert hub.count() == {"commit": 1, "tree": 1, "archive": 1, "blob": 1}


# --- What it costs --------------------------------------------------------------------------------------


def documentation() -> dict[str, bytes]:
    """As many files as Django's documentation, and as many others."""
    docs = {f"docs/topic{n % 20}/page{n}.txt": f"Page {n}\n======\n\nText {n}.\n".encode() * 20 for n in range(650)}
    return docs | {f"django/module{n}.py": b"pass\n" for n in range(650)}


def test_complete_documentation_costs_three_calls_and_an_unchanged_refresh_one(hub: GitHub) -> None:
    repository, files = hub.repository("o/r"), documentation()
    repository.commit(files)
    first = list(source.list_documents(spec("github:o/r/docs")).documents)
    bodies = {document.url: source.fetch(spec("github:o/r/docs"), document.url).body for document in first}
    assert hub.count() == {"commit": 1, "tree": 1, "archive": 1}
    assert bodies == {address(hub, path): body for path, body in files.items() if path.startswith("docs/")}

    hub.calls.clear()
    assert list(source.list_documents(spec("github:o/r/docs")).documents) == first
    assert [(call.kind, call.status) for call in hub.calls] == [("commit", 304)]

    hub.calls.clear()
    repository.commit({**files, "docs/topic1/page1.txt": b"New\n===\n"})
    changed = set(source.list_documents(spec("github:o/r/docs")).documents) - set(first)
    assert [document.url for document in changed] == [address(hub, "docs/topic1/page1.txt")]
    assert "archive" not in hub.count()
    assert fetch(hub, "docs/topic1/page1.txt").body == b"New\n===\n"
    assert hub.count() == {"commit": 1, "tree": 1, "archive": 1}


def test_the_archive_may_come_before_the_first_document(hub: GitHub) -> None:
    hub.repository("o/r").commit(FILES)
    paths()
    source.prepare(spec())
    assert hub.count() == {"commit": 1, "tree": 1, "archive": 1}
    assert fetch(hub, "README.md").body == README
    assert hub.count() == {"commit": 1, "tree": 1, "archive": 1}


def test_a_worker_on_another_machine_helps_itself(hub: GitHub, settings: Settings, tmp_path: Path) -> None:
    hub.repository("o/r").commit(FILES)
    paths()
    settings.DATA_DIR = tmp_path / "another"
    for path in ("README.md", "docs/models.txt"):
        assert fetch(hub, path).body == FILES[path]
    assert hub.count() == {"commit": 2, "tree": 1, "archive": 1}


def test_a_worker_asks_again_where_the_ref_leads_after_a_while(hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = hub.repository("o/r")
    repository.commit({"a.md": b"old"})
    assert fetch(hub, "a.md").body == b"old"
    repository.commit({"a.md": b"new"})
    assert fetch(hub, "a.md").body == b"old"
    monkeypatch.setattr(source, "FRESH_SECONDS", 0.0)
    assert fetch(hub, "a.md").body == b"new"


def test_workers_download_an_archive_once(hub: GitHub) -> None:
    hub.repository("o/r").commit(files := documentation())
    listed = urls(source.list_documents(spec()))[:40]
    hub.archive_delay.clear()
    bodies: dict[str, bytes] = {}

    def work(mine: list[str]) -> None:
        for url in mine:
            bodies[url] = attempts(lambda url=url: source.fetch(spec(), url)).body  # type: ignore[misc]

    workers = [threading.Thread(target=work, args=(listed[n::4],)) for n in range(4)]
    for worker in workers:
        worker.start()
    time.sleep(0.2)
    hub.archive_delay.set()
    for worker in workers:
        worker.join()
    assert bodies == {url: files[url.partition("/HEAD/")[2]] for url in listed}
    assert hub.count()["archive"] == 1


def test_nobody_waits_for_a_download_and_a_killed_worker_leaves_nothing_behind(hub: GitHub) -> None:
    hub.repository("o/r").commit(FILES)
    paths()
    [lock] = hub_folder().glob("*/lock")
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1]); fcntl.flock(f, 2); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(HostBusy) as busy:
            fetch(hub, "README.md")
        assert busy.value.retry_after == snapshots.LOOK_AGAIN_SECONDS
        other.kill()
    [commit] = hub_folder().glob("*/commits/*")
    (commit / ".new/files").mkdir(parents=True)
    (commit / ".new/files/README.md").write_text("half of it")
    assert fetch(hub, "README.md").body == README
    assert sorted(path.name for path in commit.iterdir()) == ["files", "index"]


def test_an_archive_that_came_just_before_the_lock_is_not_downloaded_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = tmp_path
    files, locked = hub_folder() / "h+o+r/commits/abc/files", snapshots.Snapshots._locked

    def overtaken(kept: snapshots.Snapshots) -> AbstractContextManager[None]:
        files.mkdir(parents=True)
        return locked(kept)

    def download(path: Path) -> None:
        raise AssertionError("downloaded again")

    monkeypatch.setattr(snapshots.Snapshots, "_locked", overtaken)
    assert snapshots.Snapshots("h+o+r").files("abc", download) == files


def hub_folder() -> Path:
    return Path(django_settings.DATA_DIR) / "archives"


def test_only_the_owner_may_enter_the_archives(hub: GitHub) -> None:
    hub.repository("o/r").commit(FILES)
    fetch(hub, "README.md")
    assert stat.S_IMODE(hub_folder().stat().st_mode) == 0o700


def test_commits_go_when_no_ref_leads_to_them(hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = hub.repository("o/r")
    old = repository.commit({"a.md": b"old"})
    repository.refs["v1"] = old
    for target in ("github:o/r", "github:o/r@v1"):
        paths(target)
    fetch(hub, "a.md")
    new = repository.commit({"a.md": b"new"})
    paths()
    assert {path.name for path in hub_folder().glob("*/commits/*")} == {old.sha, new.sha}
    newest = repository.commit({"a.md": b"newest"}, ref="v1")
    paths("github:o/r@v1")
    assert {path.name for path in hub_folder().glob("*/commits/*")} == {new.sha, newest.sha}
    monkeypatch.setattr(snapshots, "UNUSED_SECONDS", -1.0)
    snapshots.tidy()
    assert list(hub_folder().glob("*/*/*")) == []
    assert fetch(hub, "a.md").body == b"new"


# --- Tokens -------------------------------------------------------------------------------------------


def test_the_token_opens_a_private_repository_and_stays_with_the_api(hub: GitHub, settings: Settings) -> None:
    hub.repository("o/r", private=True).commit(FILES, unarchived=("README.md",))
    settings.GITHUB_TOKEN = hub.token = "ghp_secret"
    paths()
    assert fetch(hub, "docs/models.txt").body == MODELS
    assert fetch(hub, "README.md").body == README
    sent = {(call.kind, call.headers.get("Authorization")) for call in hub.calls}
    assert sent == {
        ("commit", "Bearer ghp_secret"),
        ("tree", "Bearer ghp_secret"),
        ("archive", "Bearer ghp_secret"),
        ("blob", "Bearer ghp_secret"),
        ("codeload", None),
    }


@pytest.mark.parametrize("status", [404, 403, 418, 500])
def test_the_passing_token_of_an_archive_shows_in_no_message(
    hub: GitHub, settings: Settings, status: int, impatient: None
) -> None:
    hub.repository("o/r", private=True).commit(FILES)
    settings.GITHUB_TOKEN = hub.token = "ghp_secret"
    hub.codeload_status = status
    with pytest.raises((SourceError, FetchFailed)) as error:
        fetch(hub, "README.md")
    assert hub.calls[-1].kind == "codeload"
    assert PASS not in str(error.value)
    assert "ghp_secret" not in str(error.value)


def test_a_redirect_of_the_api_to_another_host_is_refused(hub: GitHub, settings: Settings) -> None:
    settings.GITHUB_TOKEN = hub.token = "ghp_secret"
    hub.answer_once("commit", 301, Location=f"{hub.codeload}/o/r/x/y")
    with pytest.raises(SourceError, match="GITHUB_API_URL"):
        paths()
    assert [call.kind for call in hub.calls] == ["commit"]


def test_an_archive_host_in_a_private_network_is_not_connected_to(hub: GitHub) -> None:
    hub.repository("o/r").commit(FILES)
    hub.answer_once("archive", 302, Location=f"http://127.0.0.2:{hub.codeload.rpartition(':')[2]}/o/r?token={PASS}")
    with pytest.raises(SourceError, match="FETCH_PRIVATE_NETWORKS") as error:
        fetch(hub, "README.md")
    assert PASS not in str(error.value)
    assert hub.calls[-1].kind == "archive"


# --- Refusals -----------------------------------------------------------------------------------------


def test_it_says_what_to_do_when_a_repository_cannot_be_seen(hub: GitHub, settings: Settings) -> None:
    with pytest.raises(SourceError, match=r"o/r: .*does not exist.*private and GITHUB_TOKEN is not set"):
        paths()
    settings.GITHUB_TOKEN = hub.token = "t"
    with pytest.raises(SourceError, match=r"does not exist.*GITHUB_TOKEN may not read it"):
        paths()


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "GITHUB_TOKEN is not valid"),
        (409, "empty"),
        (422, "%2F"),
        (451, "legal"),
        (418, "418"),
    ],
)
def test_it_says_what_to_do_about_a_refusal(hub: GitHub, status: int, advice: str) -> None:
    hub.answer_once("commit", status)
    with pytest.raises(SourceError, match=advice):
        paths()


def test_a_bare_403_may_be_a_limit_on_bursts_and_is_tried_again(hub: GitHub) -> None:
    hub.repository("o/r").commit(FILES)
    hub.answer_once("commit", 403)
    with pytest.raises(FetchFailed, match=r"may not read.*fewer calls") as error:
        paths()
    assert error.value.retry_after == 60.0
    hub.answer_once("archive", 403)
    with pytest.raises(FetchFailed):
        fetch(hub, "README.md")
    with pytest.raises(HostBusy) as busy:
        fetch(hub, "README.md")
    assert 55 < (busy.value.retry_after or 0) <= 60


def test_real_refusals_have_these_statuses(hub: GitHub, settings: Settings) -> None:
    repository = hub.repository("o/r")
    with pytest.raises(SourceError, match="empty"):
        paths()
    repository.commit(FILES)
    with pytest.raises(SourceError, match="ref does not exist"):
        paths("github:o/r@nosuch")
    settings.GITHUB_TOKEN = "wrong"
    with pytest.raises(SourceError, match="not valid"):
        paths()


@pytest.mark.parametrize("kind", ["commit", "tree"])
@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"[]", b'{"tree": 1}', b'{"tree": [], "x": 1}', b"\xff"])
def test_an_answer_of_something_else_is_tried_again(hub: GitHub, kind: str, body: bytes) -> None:
    hub.repository("o/r").commit(FILES)
    hub.answer_once(kind, 200, body)
    with pytest.raises(FetchFailed, match="GITHUB_API_URL"):
        paths()
    assert "README.md" in paths()


# --- Limits and faults ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["commit", "tree", "archive"])
def test_a_spent_allowance_is_waited_for_by_all_and_nothing_is_lost(hub: GitHub, impatient: None, kind: str) -> None:
    hub.repository("o/r").commit(FILES)
    hub.spent_at, hub.spent_seconds = kind, 6.0  # time enough for a busy machine to ask again in
    with pytest.raises(Throttled) as throttled:
        paths()
        fetch(hub, "README.md")
    assert 0 < (throttled.value.retry_after or 0) <= 8
    asked = len(hub.calls)
    with pytest.raises(HostBusy):
        source.list_documents(spec("github:o/other"))
    assert len(hub.calls) == asked
    time.sleep(throttled.value.retry_after or 0)
    assert len(attempts(lambda: paths())) == 3  # type: ignore[arg-type, return-value]
    assert attempts(lambda: fetch(hub, "README.md")).body == README


@pytest.mark.parametrize(("kind", "status"), [("commit", 502), ("tree", 500), ("commit", 429), ("tree", 429)])
def test_a_listing_that_meets_trouble_succeeds_later(hub: GitHub, impatient: None, kind: str, status: int) -> None:
    hub.repository("o/r").commit(FILES)
    hub.answer_once(kind, status, Retry_After="1" if status == 429 else "")
    with pytest.raises(Throttled if status == 429 else FetchFailed):
        paths()
    assert len(attempts(lambda: paths())) == 3  # type: ignore[arg-type, return-value]


def test_one_document_of_many_finds_out_that_the_archive_cannot_be_had(
    hub: GitHub, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "MENDING_SECONDS", 1000.0)
    hub.repository("o/r").commit(FILES)
    hub.codeload_status = 502
    with pytest.raises(FetchFailed):
        fetch(hub, "README.md")
    for path in ("README.md", "docs/models.txt", "README.md"):
        with pytest.raises(HostBusy, match="last try failed"):
            fetch(hub, path)
    assert hub.count()["archive"] == 1
    hub.codeload_status = 200
    monkeypatch.setattr(snapshots, "time", SimpleNamespace(time=lambda: time.time() + 1001))
    assert attempts(lambda: fetch(hub, "README.md")).body == README
    assert hub.count()["archive"] == 2


def test_an_archive_above_the_bound_is_tried_once_for_all_documents(hub: GitHub, settings: Settings) -> None:
    settings.GITHUB_MAX_ARCHIVE_BYTES = 100
    settings.GITHUB_TOKEN = hub.token = "t"
    hub.repository("o/r", private=True).commit(FILES)
    for path in ("README.md", "docs/models.txt"):
        with pytest.raises(SourceError, match="GITHUB_MAX_ARCHIVE_BYTES") as error:
            fetch(hub, path)
        assert PASS not in str(error.value)
    assert hub.count()["archive"] == 1


def test_an_archive_that_vanished_makes_no_document_vanish(hub: GitHub) -> None:
    hub.repository("o/r").commit(FILES)
    paths()
    hub.answer_once("archive", 404)
    with pytest.raises(SourceError, match="does not exist"):
        fetch(hub, "README.md")


def test_a_damaged_archive_is_downloaded_again(hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MENDING_SECONDS", 0.01)
    commit = hub.repository("o/r").commit(FILES)
    whole = commit.tarball("o/r")
    commit.archive = whole[: len(whole) // 2]
    with pytest.raises(FetchFailed, match=r"o\+r: its archive is damaged"):
        fetch(hub, "README.md")
    commit.archive = whole
    assert attempts(lambda: fetch(hub, "README.md")).body == README


def test_an_archive_for_which_there_is_no_room_is_left_alone_for_a_while(
    hub: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    hub.repository("o/r").commit(FILES)
    monkeypatch.setattr(archives, "unpack", full)
    with pytest.raises(FetchFailed, match="cannot be written"):
        fetch(hub, "README.md")
    with pytest.raises(HostBusy, match="cannot be written"):
        fetch(hub, "docs/models.txt")
    assert hub.count()["archive"] == 1


def test_a_failure_from_before_the_clock_was_set_back_is_forgotten(
    hub: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.repository("o/r").commit(FILES)
    whole = commit.tarball("o/r")
    commit.archive = whole[: len(whole) // 2]
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "MENDING_SECONDS", 30 * 24 * 3600.0)
        with pytest.raises(FetchFailed, match="damaged"):
            fetch(hub, "README.md")
    commit.archive = whole
    assert attempts(lambda: fetch(hub, "README.md")).body == README


def test_files_on_disk_that_are_damaged_are_asked_for_again(hub: GitHub) -> None:
    hub.repository("o/r").commit(FILES)
    paths()
    for path in [*hub_folder().glob("*/refs/*"), *hub_folder().glob("*/commits/*/index")]:
        path.write_bytes(b"\xff{")
    assert len(paths()) == 3
    assert hub.count() == {"commit": 2, "tree": 2}


# --- Archives -----------------------------------------------------------------------------------------


def unpack(folder: Path, archive: bytes, *, total: int = 1 << 30, file: int = 1 << 20) -> dict[str, bytes]:
    (folder / "archive").write_bytes(archive)
    root = folder / "files"
    archives.unpack(folder / "archive", root, wanted=lambda path: True, bounds=archives.Bounds(total, file))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def packed(*members: tarfile.TarInfo, body: bytes = b"") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(body) if member.isreg() else None)
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, to
    return info


def test_an_archive_gives_its_regular_files_without_the_top_folder(tmp_path: Path) -> None:
    long = "/".join(["d" * 90] * 5) + "/ä.md"
    files = {"a.md": b"a", "empty.md": b"", "x/b.md": b"b" * 512, "x/c.md": b"c" * 70_000, long: b"l"}
    assert unpack(tmp_path, tarball("o-r-1", files, {"link.md": "/etc/passwd"})) == files


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_passed_over(tmp_path: Path, kind: bytes) -> None:
    assert unpack(tmp_path, packed(member("top/a.md", kind, to="/etc/passwd"), member("top/b.md"))) == {"b.md": b""}


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = member("top/docs", tarfile.SYMTYPE, to=str(outside))
    assert unpack(tmp_path, packed(link, member("top/docs/a.md", size=1), body=b"a")) == {"docs/a.md": b"a"}
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["top/../../evil.md", "top//etc/evil.md", "../top/../evil.md", "top/x/../../../evil.md", "top/./a.md", "/top//a"],
)
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FetchFailed, match="damaged"):
        unpack(tmp_path, packed(member(name, size=4), body=b"evil"))
    assert not list(tmp_path.rglob("evil.md"))
    assert not list(tmp_path.parent.glob("evil.md"))


def test_a_file_where_a_folder_must_be_is_damage(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="damaged"):
        unpack(tmp_path, packed(member("top/a"), member("top/a/b.md")))


def test_a_file_above_the_bound_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert unpack(tmp_path, tarball("t", {"a.md": b"a" * 11, "b.md": b"b" * 10}), file=10) == {"b.md": b"b" * 10}
    assert "a.md" in caplog.text


def test_documents_above_the_bound_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="more than 15 bytes"):
        unpack(tmp_path, tarball("t", {"a.md": b"a" * 10, "b.md": b"b" * 10}), total=15)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path, wanted: bool) -> None:
    size = 300 * 1024 * 1024
    bomb = gzip.compress(member("top/zeros.md", size=size).tobuf() + bytes(40 * 1024 * 1024), compresslevel=9)
    (tmp_path / "archive").write_bytes(bomb)
    bounds = archives.Bounds(total=1 << 40, file=1 << 40)
    tracemalloc.start()
    with pytest.raises(SourceError, match="200 times"):
        archives.unpack(tmp_path / "archive", tmp_path / "files", wanted=lambda path: wanted, bounds=bounds)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 1024 * 1024
    assert sum(path.stat().st_size for path in tmp_path.rglob("zeros.md")) < 20 * 1024 * 1024


def test_a_name_of_megabytes_is_damage(tmp_path: Path) -> None:
    name = member("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=8 * 1024 * 1024).tobuf()
    with pytest.raises(FetchFailed, match="a name of 8388608 bytes"):
        unpack(tmp_path, gzip.compress(name + b"n" * 8 * 1024 * 1024))


@pytest.mark.parametrize("damage", ["cut", "checksum", "not gzip", "not tar", "empty", "short"])
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: str) -> None:
    whole = tarball("t", {"a.md": b"a" * 600, "b.md": b"b" * 600})
    archive = {
        "cut": whole[:-20],
        "checksum": whole[:-8] + bytes(8),
        "not gzip": b"<html>Sign in</html>",
        "not tar": gzip.compress(b"<html>" * 200),
        "empty": b"",
        "short": gzip.compress(member("t/a.md", size=600).tobuf() + b"a" * 100),
    }[damage]
    with pytest.raises(FetchFailed, match="damaged"):
        unpack(tmp_path, archive)


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    many = tarball("t", {f"src/{n}.py": b"pass" for n in range(2000)})
    (tmp_path / "archive").write_bytes(many)
    tracemalloc.start()
    archives.unpack(
        tmp_path / "archive", tmp_path / "files", wanted=lambda path: False, bounds=archives.Bounds(1 << 30, 1 << 20)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 512 * 1024


def test_it_names_content_as_git_does() -> None:
    assert archives.git_hash(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_no_link_of_a_file_leads_to_another_document() -> None:
    assert (
        source.follow(spec(), "https://github.com/o/r/blob/HEAD/a.md", ["https://github.com/o/r/blob/HEAD/b.md"]) == []
    )
