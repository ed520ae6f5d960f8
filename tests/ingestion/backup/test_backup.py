"""Backup, wipe, restore: the rows, files and vectors of one moment come back; what does not fit is refused."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.utils import timezone
from pymilvus import MilvusClient
from pytest_django import Settings

from ingestion.backup import archive, rows
from ingestion.backup.load import load
from ingestion.backup.save import save
from ingestion.coordination import heartbeat
from ingestion.exceptions import BackupRefused
from ingestion.models import Chunk, Collection, Document, Run, Source
from ingestion.pipeline.index.audit import audit
from ingestion.pipeline.state.collections import written_store
from ingestion.words.weights import chunk_weights
from tests.support.rows import make_chunk, make_document, make_source, record

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "snapshot"]),
    pytest.mark.usefixtures("clean_redis", "clean_milvus"),
]


def nothing(said: str) -> None:
    pass


@pytest.fixture
def filled(settings: Settings, tmp_path: Path) -> Document:
    """A document with three chunks in Milvus, one that waits, one with the embedder; a user; an uploaded file."""
    settings.DATA_DIR = tmp_path / "data"
    (settings.DATA_DIR / "uploads" / "notes").mkdir(parents=True)
    (settings.DATA_DIR / "uploads" / "notes" / "ä b.md").write_text("# Notes")
    document = make_document(make_source(), state=Document.State.INDEXED, title="Tïtle", markdown="text 0 text 1")
    indexed = [make_chunk(document, position, state=Chunk.State.INDEXED) for position in range(3)]
    make_chunk(document, 3)
    make_chunk(document, 4, state=Chunk.State.EMBEDDING, owner="host/cpu/1", lease_until=timezone.now())
    make_chunk(document, 5, state=Chunk.State.REMOVING)
    store = written_store()
    store.upsert(
        [replace(record(each), words=chunk_weights(each.text, each.heading, document.title)) for each in indexed]
    )
    user = User.objects.create_user("editor", password="secret word")
    user.groups.add(Group.objects.create(name="editors"))
    user.user_permissions.add(Permission.objects.get(codename="change_source"))
    Document.objects.update(updated_at=timezone.now() - timedelta(days=3))
    return document


@pytest.fixture
def saved(filled: Document, tmp_path: Path) -> Path:
    save(tmp_path / "backup.zip", with_vectors=True)
    return tmp_path / "backup.zip"


def test_saving_changes_no_row_while_a_model_of_another_dimension_takes_over(
    filled: Document, tmp_path: Path, settings: Settings
) -> None:
    before = everything()
    settings.EMBED_DIMENSION = 2 * settings.EMBED_DIMENSION
    assert save(tmp_path / "backup.zip", with_vectors=True).vectors == 3
    assert everything() == before


def everything() -> dict[str, list[dict[str, object]]]:
    """All rows, with times as exact as a backup keeps them: to the millisecond."""

    def kept(value: object) -> object:
        return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value

    found = {model._meta.label: model._default_manager.order_by("pk").values() for model in rows.models()}
    return {
        label: [{name: kept(value) for name, value in row.items()} for row in each] for label, each in found.items()
    }


def wipe(clean_redis: redis.Redis, clean_milvus: MilvusClient, settings: Settings) -> None:
    rows.empty(rows.models())
    clean_redis.flushall()
    for name in clean_milvus.list_collections():
        clean_milvus.drop_collection(name)
    (settings.DATA_DIR / "uploads" / "notes" / "ä b.md").unlink()


def test_after_a_wipe_everything_is_as_it_was(
    saved: Path, clean_redis: redis.Redis, clean_milvus: MilvusClient, settings: Settings
) -> None:
    before, vectors = everything(), written_store().vectors(list(Chunk.objects.values_list("key", flat=True)))
    wipe(clean_redis, clean_milvus, settings)
    manifest, report = load(saved, replace=False, progress=nothing)
    after = everything()
    assert (manifest.uploads, manifest.vectors) == (1, 3)
    assert report is not None and report.unrepaired == report.missing == 0
    # What was on its way is on its way again.
    states = dict(Chunk.objects.values_list("position", "state"))
    assert states == dict.fromkeys(range(3), Chunk.State.INDEXED) | dict.fromkeys((3, 4), Chunk.State.WAITING)
    for label in before.keys() - {Chunk._meta.label, Collection._meta.label}:
        assert after[label] == before[label], label
    assert (settings.DATA_DIR / "uploads" / "notes" / "ä b.md").read_text() == "# Notes"
    user = User.objects.get()
    assert user.check_password("secret word")
    assert user.has_perm("ingestion.change_source") and user.groups.get().name == "editors"
    restored = written_store().vectors(list(vectors))
    assert restored.keys() == vectors.keys()
    for key, found in vectors.items():
        assert (restored[key].dense == found.dense).all()
        assert dict(zip(restored[key].indices, restored[key].weights, strict=True)) == dict(
            zip(found.indices, found.weights, strict=True)
        )


def test_new_rows_get_new_ids_after_a_restore(saved: Path, filled: Document) -> None:
    load(saved, replace=True, progress=nothing)
    assert make_document(filled.source, "file:///new").pk > filled.pk


def test_without_vectors_everything_is_embedded_again(filled: Document, tmp_path: Path) -> None:
    save(tmp_path / "small.zip", with_vectors=False)
    _, report = load(tmp_path / "small.zip", replace=True, progress=nothing)
    assert report is not None and report.missing == 3
    assert set(Chunk.objects.values_list("state", flat=True)) == {Chunk.State.WAITING}


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite in memory, as in tests, has no log that keeps rows")
def test_what_is_written_while_a_backup_is_made_is_not_in_it(
    filled: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = rows.dump

    def writing(model: type, using: str, stream: object) -> int:
        if model is Document:  # its chunks were saved, or are to be
            make_chunk(make_document(filled.source, f"file:///late-{model.__name__}"), 0)
        return dump(model, using, stream)

    monkeypatch.setattr(rows, "dump", writing)
    manifest = save(tmp_path / "backup.zip", with_vectors=False)
    assert (manifest.rows["ingestion.document"], manifest.rows["ingestion.chunk"]) == (1, 6)
    assert Document.objects.count() == 2


def test_rows_that_there_are_stay_unless_their_loss_is_meant(saved: Path, filled: Document) -> None:
    Document.objects.update(title="newer")
    with pytest.raises(BackupRefused, match="--yes"):
        load(saved, replace=False, progress=nothing)
    assert Document.objects.get().title == "newer"


def test_nothing_is_restored_beside_workers(saved: Path) -> None:
    heartbeat.note_job("drain")
    with pytest.raises(BackupRefused, match="Workers run"):
        load(saved, replace=True, progress=nothing)


def test_a_backup_is_for_its_owner_alone_and_replaces_no_other(saved: Path) -> None:
    assert saved.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BackupRefused, match="is there already"):
        save(saved, with_vectors=False)


def test_a_backup_that_fails_leaves_no_file(filled: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise RuntimeError

    monkeypatch.setattr(rows, "dump", fail)
    with pytest.raises(RuntimeError):
        save(tmp_path / "backup.zip", with_vectors=False)
    assert [path.name for path in tmp_path.glob("backup*")] == []


@pytest.mark.parametrize("member", ["rows/ingestion.chunk.jsonl", "vectors/000000.msgpack"])
@pytest.mark.parametrize("fault", ["changed", "cut"])
def test_a_file_that_was_changed_or_cut_is_refused_and_changes_nothing(saved: Path, member: str, fault: str) -> None:
    data, before = saved.read_bytes(), everything()
    with zipfile.ZipFile(saved) as file:
        info = file.getinfo(member)
    here = info.header_offset + len(info.FileHeader()) + info.compress_size // 2
    saved.write_bytes(data[:here] + (bytes([data[here] ^ 0xFF]) + data[here + 1 :] if fault == "changed" else b""))
    with pytest.raises(BackupRefused):
        load(saved, replace=True, progress=nothing)
    assert everything() == before


def rewritten(path: Path, change: object, member: str = archive.MANIFEST) -> None:
    """Replace a member by what ``change`` makes of it, with a manifest that fits unless the manifest is changed."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members[member] = change(members[member])  # type: ignore[operator]
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def test_a_backup_with_other_tables_or_of_another_format_is_refused(saved: Path) -> None:
    def older(manifest: bytes) -> bytes:
        found = json.loads(manifest)
        found["migrations"]["ingestion"] = "0001_initial"
        return json.dumps(found).encode()

    rewritten(saved, older)
    with pytest.raises(BackupRefused, match=r"ingestion 0001_initial \(here .*the version that made it"):
        load(saved, replace=True, progress=nothing)
    rewritten(saved, lambda manifest: json.dumps({**json.loads(manifest), "format": 2}).encode())
    with pytest.raises(BackupRefused, match="has the format 2"):
        load(saved, replace=True, progress=nothing)


def test_rows_that_do_not_fit_one_another_leave_everything_as_it_was(saved: Path) -> None:
    import hashlib

    before = everything()
    rewritten(saved, lambda lines: b"", "rows/ingestion.source.jsonl")
    empty = hashlib.sha256(b"").hexdigest()

    def fitting(manifest: bytes) -> bytes:
        found = json.loads(manifest)
        found["sha256"]["rows/ingestion.source.jsonl"] = empty
        return json.dumps(found).encode()

    rewritten(saved, fitting)
    with pytest.raises(BackupRefused, match="do not fit one another"):
        load(saved, replace=True, progress=nothing)
    assert everything() == before


def test_a_run_goes_on_after_a_restore(saved: Path) -> None:
    load(saved, replace=True, progress=nothing)
    assert Run.objects.get().state == Run.State.RUNNING
    assert Source.objects.count() == 1
    assert audit(repair=False) is not None
