"""A short walk of the chaos harness: many kinds of faults do no harm, and without a protection it sees harm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.chaos import inside, points
from tests.chaos.faults import KINDS, planned

pytestmark = pytest.mark.e2e

# Of every sort, and in every service and worker.
FAULTS = (
    *("cpu worker killed", "gpu worker killed", "index child killed", "beat killed", "redis killed", "milvus killed"),
    *("redis flushed", "redis read-only", "database locked", "milvus stopped", "collection dropped"),
    *("killed at after-upsert", "killed at delete-before-rows", "killed at push-before-rows"),
    *("killed at fetch-before-store", "stopped at before-upsert"),
)

# What the harness mounts ends with its processes, also where it is killed and cannot unmount it.
PRIVATE = ["unshare", "--mount"] if os.geteuid() == 0 and shutil.which("unshare") else []


def chaos(model: Path, folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    command = [*PRIVATE, sys.executable, "-m", "tests.chaos", "--stub", "--json", "--seed", "3"]
    command += ["--model", str(model), *options]
    variables = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=variables, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, {**report, "said": done.stderr}


def only(*kinds: str) -> list[str]:
    return [word for kind in kinds for word in ("--only", kind)]


def test_whatever_is_killed_everything_is_indexed_once_and_nothing_is_left(model_path: Path, tmp_path: Path) -> None:
    code, report = chaos(model_path, tmp_path, "--faults", "12", "--readers", "2", *only(*FAULTS))
    assert (code, report["broken"]) == (0, []), report
    assert report["injected"] == 12
    assert len(report["faults"]) >= 10
    assert report["unrecovered"] == []
    assert report["chunks"] > 100
    assert report["readers"]["questions"]["answered"] > 0
    assert list(tmp_path.glob("chaos-*")) == []


def test_it_sees_loss_when_records_are_forgotten_before_milvus_has_them(model_path: Path, tmp_path: Path) -> None:
    code, report = chaos(
        model_path, tmp_path, "--without", "confirm", "--faults", "2", *only("killed at before-upsert")
    )
    assert (code, report["injected"]) == (1, 2), report
    assert report["lost"] > 0


@pytest.mark.parametrize("name", points.POINTS)
def test_a_named_point_is_a_function_that_there_is(name: str) -> None:
    point = points.POINTS[name]
    assert callable(getattr(*inside.place(import_module(point.module), point.function)))


@pytest.mark.parametrize("module", points.HASTE)
def test_a_shortened_time_is_a_constant_that_there_is(module: str) -> None:
    assert points.HASTE[module].keys() <= vars(import_module(module)).keys()


def test_the_faults_of_a_seed_are_the_same_each_time() -> None:
    first, second, other = (list(islice(planned(seed, []), 300)) for seed in (7, 7, 8))
    assert first == second != other
    assert {plan.kind for plan in first} == KINDS.keys()
