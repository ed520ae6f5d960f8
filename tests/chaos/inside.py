"""What a process of the stack under test does besides its work: it dies or stops where it is told to.

A file in the folder "armed", named like a point, says so: the first process that comes by takes the file away,
leaves its id and ends itself. Nothing else of the product changes, except what --without switches off, what --stub
replaces and what ``points.HASTE`` shortens. Modules are changed right after they are loaded, so that a process
that never needs one does not load it.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.chaos import points

Change = Callable[[ModuleType], None]

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
A_YEAR = 3e7


class Finder(MetaPathFinder):
    """Lets every module be found as usual, and changes some once they are loaded."""

    def __init__(self, changes: dict[str, list[Change]]) -> None:
        self.changes = changes

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        changes = self.changes.get(name)
        spec = PathFinder.find_spec(name, path) if changes else None
        if spec is None or spec.loader is None or not changes:
            return None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            for change in changes:
                change(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    changes: dict[str, list[Change]] = defaultdict(list)
    for module, constants in points.HASTE.items():
        changes[module].append(functools.partial(shorten, constants))
    changes["ragproject.settings"].append(hurry_settings)
    changes["ragproject.embedded.services"].append(let_redis_be_configured)
    if os.environ.get("CHAOS_STUB"):
        changes["ingestion.embedding.loading"].append(use_stub)
    for switched_off in os.environ.get("CHAOS_WITHOUT", "").split():
        for module, change in WITHOUT[switched_off]:
            changes[module].append(change)
    for name, point in points.POINTS.items():
        changes[point.module].append(functools.partial(watch, name, point))
    sys.meta_path.insert(0, Finder(changes))


# --- Named points -------------------------------------------------------------------------------------


def watch(name: str, point: points.Point, module: ModuleType) -> None:
    holder, function = place(module, point.function)
    original = getattr(holder, function)

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if point.moment == "before":
            strike(name)
        result = original(*args, **kwargs)
        if point.moment == "after":
            strike(name)
        return result

    setattr(holder, function, watched)


def place(module: ModuleType, function: str) -> tuple[Any, str]:
    """The module or class that holds a function, and its name there."""
    *holders, name = function.split(".")
    return functools.reduce(getattr, holders, module), name


def strike(name: str) -> None:
    folder = Path(os.environ["CHAOS_FOLDER"])
    taken = folder / f"{name}.{os.getpid()}"
    try:
        (folder / "armed" / name).rename(taken)
    except FileNotFoundError:
        return
    action = taken.read_text()
    taken.write_text(str(os.getpid()))
    taken.rename(folder / "struck" / name)
    os.kill(os.getpid(), SIGNALS[action])


# --- Times ----------------------------------------------------------------------------------------------


def shorten(constants: dict[str, Any], module: ModuleType) -> None:
    for name, value in constants.items():
        getattr(module, name)  # one that is gone must not go unnoticed
        setattr(module, name, value)


def hurry_settings(settings: Any) -> None:
    settings.CELERY_VISIBILITY_TIMEOUT = points.REDELIVERY_SECONDS
    settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"] = points.REDELIVERY_SECONDS
    if settings.IS_SQLITE:
        settings.DATABASES["default"]["OPTIONS"]["timeout"] = points.DATABASE_PATIENCE_SECONDS


# --- Rights -----------------------------------------------------------------------------------------------


def let_redis_be_configured(services: Any) -> None:
    """One fault makes Redis full by CONFIG SET, which its clients may not use otherwise."""
    services.REDIS_RIGHTS += " +config"


# --- A model without weight -----------------------------------------------------------------------------


def use_stub(loading: Any) -> None:
    from tests.chaos.stub import StubEmbedder

    loading.load_model = functools.cache(lambda *_, **__: StubEmbedder())


# --- Protections that are switched off ------------------------------------------------------------------


def settle_first(indexing: Any) -> None:
    """Rows say indexed and records are forgotten as soon as they are claimed, before Milvus has them."""
    next_batch, settle = indexing.next_batch, indexing.settle

    def too_early(*args: Any, **kwargs: Any) -> Any:
        batch = next_batch(*args, **kwargs)
        if batch:
            settle(batch, indexing.Sent([c.chunk_id for c in batch.chunks], [], 0.0))
        return batch

    indexing.next_batch, indexing.settle = too_early, lambda batch, sent: len(sent.ids)


def count_nothing(completeness: Any) -> None:
    """Two counts would find what is lost, and have it embedded again."""
    completeness.audit_wanted = lambda: False


def never_end(module: Any) -> None:
    """What a worker took stays with it, whatever becomes of the worker."""
    from datetime import timedelta

    module.lease_end = lambda *_: module.timezone.now() + timedelta(seconds=A_YEAR)


def believe_every_time(times: Any) -> None:
    """A lease of a year is not taken for the word of a clock that was wrong."""
    times.passed = lambda field, **_: times.Q(**{f"{field}__lt": times.timezone.now()})


def long_attempts(pages: Any) -> None:
    """Its lease is the time limit and a little more."""
    pages.settings = SimpleNamespace(
        PAGE_TIME_LIMIT_SECONDS=A_YEAR, LEASE_SECONDS=0, CHUNK_TOKENS=pages.settings.CHUNK_TOKENS,
        MODEL_PATH=pages.settings.MODEL_PATH,
    )  # fmt: skip


def recover_nothing(module: Any) -> None:
    for name in {"recover", "recover_lost"} & set(vars(module)):
        setattr(module, name, lambda *_: 0)


WITHOUT: dict[str, list[tuple[str, Change]]] = {
    "confirm": [(points.INDEXING, settle_first), ("ingestion.pipeline.index.completeness", count_nothing)],
    "lease": [
        *((name, never_end) for name in ("ingestion.pipeline.dispatcher", points.CLAIMS)),
        *((points.PAGES, long_attempts), ("ingestion.models.times", believe_every_time)),
    ],
    "sweeper": [("ingestion.pipeline.dispatcher", recover_nothing), (points.INDEXING, recover_nothing)],
}
