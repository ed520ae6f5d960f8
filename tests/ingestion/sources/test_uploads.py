from __future__ import annotations

import io
import os
import random
import stat
import zipfile
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile, UploadedFile
from django.utils.datastructures import MultiValueDict
from pytest_django import Settings

from ingestion.admin.upload_form import UploadForm
from ingestion.exceptions import AddressRefused, FetchFailed, PageGone, SourceError, StorageMissing, UnsupportedContent
from ingestion.sources.local import files, uploads
from ingestion.sources.local.nofollow import open_nofollow
from ingestion.types import SourceSpec

GUIDE = "guide"
Entry = tuple[str | zipfile.ZipInfo, bytes]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, settings: Settings) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path / "uploads"


def file(name: str, body: bytes = b"text") -> UploadedFile[Any]:
    """With the name that a careless client could send; Django itself keeps only its last part."""
    upload = SimpleUploadedFile("x", body)
    upload._name = name  # type: ignore[attr-defined]
    return upload


def archive(*entries: Entry, name: str = "docs.zip", method: int = zipfile.ZIP_DEFLATED) -> UploadedFile[Any]:
    return file(name, zipped(*entries, method=method))


def zipped(*entries: Entry, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as written:
        for name, body in entries:
            written.writestr(name, body)
    return buffer.getvalue()


def special(name: str, **fields: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def store(*given: UploadedFile[Any], **options: bool) -> uploads.Stored:
    return uploads.store(GUIDE, given, **options)


def spec_of(**options: object) -> SourceSpec:
    return SourceSpec(kind="uploads", target=GUIDE, **options)  # type: ignore[arg-type]


def listed() -> list[str]:
    return [one.url.removeprefix("upload:guide/") for one in uploads.list_documents(spec_of()).documents]


def body_of(name: str) -> bytes:
    return uploads.fetch(spec_of(), f"upload:guide/{name}").body


# --- Files --------------------------------------------------------------------------------------------


def test_uploaded_files_become_documents() -> None:
    stored = store(file("a.md", b"# A"), file("b.pdf", b"%PDF-1.7\0"))
    assert (stored.added, stored.replaced, stored.left_out) == (2, 0, [])
    listing = uploads.list_documents(spec_of())
    assert [one.url for one in listing.documents] == ["upload:guide/a.md", "upload:guide/b.pdf"]
    assert listing.complete
    page = uploads.fetch(spec_of(), "upload:guide/a.md")
    assert (page.url, page.body, page.content_type) == ("upload:guide/a.md", b"# A", "text/markdown")


def test_a_file_of_the_same_name_is_replaced() -> None:
    store(file("a.md", b"old"), file("b.md"))
    stored = store(file("a.md", b"new"), file("c.md"))
    assert (stored.added, stored.replaced) == (1, 1)
    assert body_of("a.md") == b"new"
    assert listed() == ["a.md", "b.md", "c.md"]


def test_everything_can_be_replaced() -> None:
    store(file("a.md"), file("b.md"))
    store(file("c.md"), replace_all=True)
    assert listed() == ["c.md"]


def test_an_upload_that_comes_while_everything_is_replaced_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    store(file("a.md"))
    rename = Path.rename
    others: list[Thread] = []

    def rename_and_be_interrupted(path: Path, target: Path) -> Path:
        moved = rename(path, target)
        if target.name == "old":
            others.append(Thread(target=store, args=[file("b.md")]))
            others[0].start()
            others[0].join(0.5)
        return moved

    monkeypatch.setattr(Path, "rename", rename_and_be_interrupted)
    store(file("c.md"), replace_all=True)
    others[0].join()
    assert listed() == ["b.md", "c.md"]


def test_two_files_of_one_upload_with_the_same_name_are_both_kept() -> None:
    store(*(file("a.md", body) for body in (b"1", b"2", b"3")))
    assert [body_of(name) for name in listed()] == [b"2", b"3", b"1"]
    assert listed() == ["a-2.md", "a-3.md", "a.md"]


def test_a_file_of_another_format_is_left_out_and_named() -> None:
    stored = store(file("a.md"), file("manual.wpd"))
    assert listed() == ["a.md"]
    assert "manual.wpd has no accepted format" in stored.left_out[0]
    assert stored.sentence().startswith("1 added, 0 replaced, 1 left out. manual.wpd has no")


def test_what_was_left_out_is_told_shortly() -> None:
    stored = store(archive(("a.md", b"x"), *((f"{n}.png", b"x") for n in range(100))))
    assert len(stored.left_out) == 100
    assert stored.sentence().endswith("… and 95 more.")
    assert len(stored.sentence()) < 1000


def test_data_that_describes_no_interface_is_left_out_and_named() -> None:
    stored = store(file("package.json", b"{}"), file("api.json", b'{"openapi": "3.0.0"}'))
    assert listed() == ["api.json"]
    assert "package.json is no OpenAPI document" in stored.left_out[0] and stored.added == 1


@pytest.mark.parametrize("given", [(), (file("a.wpd"),), (archive(("a.png", b"x")),), (archive(),)])
def test_an_upload_of_nothing_is_refused(given: tuple[UploadedFile[Any], ...], data: Path) -> None:
    with pytest.raises(SourceError, match="Nothing was stored"):
        store(*given)
    assert list(data.iterdir()) == []


def test_an_upload_above_the_cap_is_refused_and_changes_nothing(settings: Settings, data: Path) -> None:
    store(file("a.md", b"old"))
    settings.UPLOAD_MAX_BYTES = 10
    store(file("fits.md", b"x" * 10))
    with pytest.raises(SourceError, match=r"larger than 10 bytes .* UPLOAD_MAX_BYTES"):
        store(file("a.md", b"newer"), file("b.md", b"x" * 6))
    assert body_of("a.md") == b"old"
    assert [path.name for path in data.iterdir()] == [GUIDE]


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, mode: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(SourceError, match=r"No space left on device.*DATA_DIR"):
        store(file("a.md"))


def test_uploads_go_with_their_source(data: Path) -> None:
    store(file("a.md"))
    uploads.remove(GUIDE)
    uploads.remove(GUIDE)
    assert list(data.iterdir()) == []
    with pytest.raises(SourceError, match="upload the files again"):
        uploads.list_documents(spec_of())


def test_what_a_killed_upload_left_is_cleared_by_a_later_one(data: Path) -> None:
    (data / ".old").mkdir(parents=True)
    (data / ".new").mkdir()
    os.utime(data / ".old", (1, 1))
    store(file("a.md"))
    assert sorted(path.name for path in data.iterdir()) == [".new", GUIDE]


# --- Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.md", "a.md"),
        ("a/b/c.md", "a/b/c.md"),
        ("a\\b.md", "a/b.md"),
        ("./a//b.md", "a/b.md"),
        (" a / b.md ", "a/b.md"),
        ("a\n\0b\x7f.md", "ab.md"),
        ('a<>:"|?*.md', "a.md"),
        ("C:\\docs\\a.md", "C/docs/a.md"),
        ("u\u0308.md", "ü.md"),
        ("gpj\u202e.md", "gpj.md"),
        ("a\ud800.md", "a.md"),
        ("ü" * 300 + ".md", "ü" * 98 + ".md"),
        ("x" * 300 + "/a.md", "x" * 200 + "/a.md"),
        ("a." + "x" * 300, "a." + "x" * 198),
    ],
)
def test_names_become_ordinary(name: str, safe: str) -> None:
    assert uploads.safe_name(name) == safe


@pytest.mark.parametrize(
    "name",
    ["../a.md", "a/../../b.md", "..\\a.md", "/etc/a.md", "\\\\host\\a.md", "..", "", "/", ". /. ./a.md", "a/.. /b"],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedContent):
        uploads.safe_name(name)


@pytest.mark.parametrize("name", [".hidden.md", "a/.git/b.md", "__MACOSX/a.md", "\0.a.md"])
def test_hidden_files_are_not_taken(name: str) -> None:
    with pytest.raises(UnsupportedContent, match="is hidden"):
        uploads.safe_name(name)


def test_whatever_a_file_is_called_it_stays_in_its_folder(data: Path) -> None:
    chooser = random.Random(7)
    pieces = ["..", ".", "/", "\\", "a", "\0", " ", "%2e%2e", "\u202e", "~", "C:", "x" * 250, ".md", "ü"]
    for _ in range(100):
        name = "".join(chooser.choices(pieces, k=chooser.randint(1, 7))) + ".md"
        try:
            store(archive((name.replace("\0", "\1"), b"x")), file(name))
        except SourceError:
            continue
    assert [path.name for path in data.parent.iterdir()] == ["uploads"]
    assert [path.name for path in data.iterdir()] == [GUIDE]
    assert listed()
    assert all(body_of(name) == b"x" or body_of(name) == b"text" for name in listed())


@pytest.mark.parametrize("target", ["", "..", "a/b", "../guide", "Guide", ".x", "a\n", "-a", "a" * 101, "guide\0"])
def test_a_target_is_a_plain_name(target: str) -> None:
    with pytest.raises(SourceError, match="no folder of uploads"):
        uploads.normalise(target)


@pytest.mark.parametrize("name", ["Guide", "Ümläut & Söhne", "", "日本語", "x" * 300, "_-_", "a_b"])
def test_every_source_gets_a_folder_of_its_own(name: str) -> None:
    made = {uploads.new_folder(name) for _ in range(5)}
    assert len(made) == 5
    assert {uploads.normalise(target) for target in made} == made


# --- Archives -----------------------------------------------------------------------------------------


def test_an_archive_is_unpacked_with_its_folders() -> None:
    store(archive(("docs/", b""), ("docs/a.md", b"A"), ("docs/img/x.png", b"P"), ("b.txt", b"B")), file("c.md", b"C"))
    assert {name: body_of(name) for name in listed()} == {"docs/a.md": b"A", "b.txt": b"B", "c.md": b"C"}


def test_an_archive_inside_an_archive_is_left_out() -> None:
    stored = store(archive(("a.md", b"A"), ("inner.zip", zipped(("b.md", b"B")))))
    assert listed() == ["a.md"]
    assert "inner.zip" in stored.left_out[0]


def test_nothing_is_unpacked_outside_the_folder(data: Path) -> None:
    stored = store(archive(("../evil.md", b"x"), ("/abs.md", b"x"), ("a/../../up.md", b"x"), ("ok.md", b"x")))
    assert listed() == ["ok.md"]
    assert len(stored.left_out) == 3
    assert "leads out of its folder" in stored.left_out[0]
    assert [path.name for path in data.parent.iterdir()] == ["uploads"]


def test_a_link_in_an_archive_is_not_made(data: Path) -> None:
    link = special("link.md", external_attr=(stat.S_IFLNK | 0o777) << 16)
    stored = store(archive((link, b"/etc/passwd"), ("a.md", b"x")))
    assert listed() == ["a.md"]
    assert "is a link" in stored.left_out[0]


def test_a_name_without_the_mark_of_utf_8_may_be_utf_8_or_older() -> None:
    one = zipped(("gr__n.md", b"1"), ("caf_.md", b"2"))
    body = one.replace(b"gr__n.md", "grün.md".encode()[:4] + b"n.md").replace(b"caf_.md", b"caf\x82.md")
    store(file("a.zip", body))
    assert {name: body_of(name) for name in listed()} == {"gr%C3%BCn.md": b"1", "caf%C3%A9.md": b"2"}


def test_a_name_with_the_mark_of_utf_8_is_believed() -> None:
    store(archive(("├⌐.md", b"x")))  # é in code page 437, if it were that
    assert listed() == ["%E2%94%9C%E2%8C%90.md"]


def test_a_file_and_a_folder_of_one_name_cannot_both_stand() -> None:
    stored = store(archive(("a.md", b"x"), ("a.md/b.md", b"x"), ("c.md/d.md", b"x"), ("c.md", b"x")))
    assert listed() == ["a.md", "c.md/d.md"]
    assert len(stored.left_out) == 2
    again = store(archive(("a.md/b.md", b"x"), ("c.md", b"x"), ("new.md", b"x")))
    assert (again.added, again.replaced, len(again.left_out)) == (1, 0, 2)
    assert listed() == ["a.md", "c.md/d.md", "new.md"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (file("docs.zip", b"not a zip"), "docs.zip is damaged or no zip"),
        (file("docs.zip", b""), "damaged"),
        (file("docs.ZIP", zipped(("a.md", b"x" * 100))[:80]), "damaged"),
        (archive(("a.md", bytes(14 * 10**6))), "more than 200 times its size"),
        (archive(("a.md", b"x"), method=zipfile.ZIP_LZMA), "unusual way"),
        (archive(*((f"{n}.md", b"x") for n in range(10_001)), method=zipfile.ZIP_STORED), "more than 10000 files"),
        (file("docs.zip", zipped(("a.md", b"x")).replace(b"\0\0\x08\0", b"\x01\0\x08\0")), "encrypted"),
        (
            file("docs.zip", zipped(("a.md", b"hello"), method=zipfile.ZIP_STORED).replace(b"hello", b"jello")),
            "damaged",
        ),
    ],
)
def test_a_bad_archive_is_refused_as_a_whole(given: UploadedFile[Any], message: str, data: Path) -> None:
    store(file("a.md", b"old"))
    with pytest.raises(SourceError, match=message):
        store(file("b.md"), given)
    assert listed() == ["a.md"]
    assert [path.name for path in data.iterdir()] == [GUIDE]


def test_what_archives_hold_counts_unpacked(settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    with pytest.raises(SourceError, match="larger than 1000 bytes when unpacked"):
        store(archive(*((f"{n}.md", b"x" * 100) for n in range(11))))


def test_a_directory_too_large_to_hold_is_not_read() -> None:
    body = bytearray(zipped(("a.md", b"x")))
    end = body.rindex(b"PK\5\6")
    body[end:end] = bytes(uploads.MAX_DIRECTORY_BYTES)
    end += uploads.MAX_DIRECTORY_BYTES
    body[end + 12 : end + 16] = (uploads.MAX_DIRECTORY_BYTES + 1).to_bytes(4, "little")
    with pytest.raises(SourceError, match="divide the archive"):
        store(file("docs.zip", bytes(body)))


def test_a_damaged_archive_never_raises_anything_else() -> None:
    chooser = random.Random(3)
    sound = zipped(("a.md", b"hello " * 50), ("b/c.md", b"x"), ("ü.md", b"y"))
    for number in range(200):
        body = bytearray(sound)
        for _ in range(chooser.randint(1, 4)):
            body[chooser.randrange(len(body))] = chooser.randrange(256)
        upload: UploadedFile[Any] = file("docs.zip", bytes(body))
        if number % 2:
            upload = TemporaryUploadedFile("docs.zip", "application/zip", len(body), None)
            upload.write(bytes(body))
            upload.seek(0)
        with upload:
            try:
                store(upload)
            except SourceError:
                continue


# --- Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["upload:guide/../other/a.md", "upload:guide/%2e%2e/other/a.md", "upload:other/a.md", "upload:guide/%00", "a.md"],
)
def test_it_reads_nothing_of_other_folders(url: str) -> None:
    store(file("a.md"))
    uploads.store("other", [file("a.md")])
    with pytest.raises(AddressRefused):
        uploads.fetch(spec_of(), url)


def test_a_removed_file_is_gone_and_a_missing_folder_is_not() -> None:
    store(file("a.md"))
    with pytest.raises(PageGone):
        body_of("b.md")
    uploads.remove(GUIDE)
    with pytest.raises(StorageMissing):
        body_of("a.md")


def test_globs_choose_by_the_path_within_the_folder() -> None:
    store(archive(("a/x.md", b"x"), ("b/x.md", b"x")))
    found = uploads.list_documents(spec_of(include=("a/*",))).documents
    assert [one.url for one in found] == ["upload:guide/a/x.md"]


def spec() -> SourceSpec:
    return SourceSpec(kind="uploads", target=GUIDE)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside/part").mkdir(parents=True)
    (tmp_path / "outside/part/a.md").write_bytes(b"secret")
    return tmp_path / "outside"


def test_a_link_in_place_of_the_folder_is_not_followed(data: Path, outside: Path) -> None:
    store(file("part/a.md"))
    (data / GUIDE).rename(data / "old")
    (data / GUIDE).symlink_to(outside)
    with pytest.raises(SourceError, match="is a link by now"):
        uploads.list_documents(spec())
    with pytest.raises(AddressRefused):
        uploads.fetch(spec(), f"upload:{GUIDE}/part/a.md")


@pytest.mark.parametrize("place", ["", "part", "part/a.md"])
def test_a_link_put_in_place_between_judging_and_opening_is_not_followed(
    data: Path, outside: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(archive(("part/a.md", b"text")))
    swapped = data / GUIDE / place

    def swap_first(path: Path, flags: int = os.O_RDONLY) -> int:
        swapped.rename(data / "old")
        swapped.symlink_to(outside / place)
        return open_nofollow(path, flags)

    monkeypatch.setattr(files, "open_nofollow", swap_first)
    with pytest.raises(FetchFailed, match="cannot be read"):
        uploads.fetch(spec(), f"upload:{GUIDE}/part/a.md")


@pytest.mark.parametrize("late", [False, True])
def test_nothing_is_stored_through_a_link(
    data: Path, outside: Path, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(archive(("part/a.md", b"text")))

    def swap() -> None:
        (data / GUIDE / "part").rename(data / "old")
        (data / GUIDE / "part").symlink_to(outside / "part")

    def swap_first(path: Path, flags: int = os.O_RDONLY) -> int:
        swap()
        return open_nofollow(path, flags)

    if late:
        monkeypatch.setattr(uploads, "open_nofollow", swap_first)
    else:
        swap()
    stored = store(archive(("part/a.md" if late else "part/deep/a.md", b"new")))
    assert (stored.added, stored.replaced) == (0, 0)
    assert "a.md: " in stored.left_out[0]
    assert sorted(str(path.relative_to(outside)) for path in outside.rglob("*")) == ["part", "part/a.md"]
    assert (outside / "part/a.md").read_bytes() == b"secret"


def test_files_lead_to_nothing_by_their_links() -> None:
    assert uploads.follow(spec_of(), "upload:guide/a.md", ["https://h.example/"]) == []


# --- The form -----------------------------------------------------------------------------------------


def form_of(*given: UploadedFile[Any], **fields: str) -> UploadForm:
    form = UploadForm(fields, MultiValueDict({"upload": list(given)}))
    form.is_valid()
    return form


def test_the_form_takes_many_files_and_names_the_folder() -> None:
    form = form_of(file("a.md"), file("b.md"))
    target = form.store_files(name="My Guide", target="")
    assert target.startswith("my-guide-")
    assert form.stored == uploads.Stored(added=2)
    spec = SourceSpec(kind="uploads", target=target)
    assert len(list(uploads.list_documents(spec).documents)) == 2


def test_the_form_adds_to_what_is_there_or_replaces_it() -> None:
    store(file("a.md"))
    assert form_of(file("b.md")).store_files(name="x", target=GUIDE) == GUIDE
    assert listed() == ["a.md", "b.md"]
    form_of(file("c.md"), replace_all="on").store_files(name="x", target=GUIDE)
    assert listed() == ["c.md"]


def test_the_form_leaves_what_is_there_when_no_file_is_chosen() -> None:
    form = form_of(replace_all="on")
    assert form.store_files(name="x", target=GUIDE) == GUIDE
    assert form.stored is None


def test_the_form_says_beside_its_field_why_an_upload_is_refused(settings: Settings) -> None:
    from django.core.exceptions import ValidationError

    with pytest.raises(ValidationError) as caught:
        form_of(file("docs.zip", b"junk")).store_files(name="x", target="")
    assert "damaged" in caught.value.message_dict["upload"][0]
    settings.UPLOAD_MAX_BYTES = 7
    assert "larger than 7" in form_of(file("a.md"), file("b.md")).errors["upload"][0]
    assert "empty" in form_of(file("a.md", b"")).errors["upload"][0]


def test_the_field_lets_a_browser_choose_many_files() -> None:
    html = str(UploadForm()["upload"])
    assert " multiple" in html
    assert ".ipynb" in html
    assert ".zip" in html
