"""Fault after fault on a real stack: `python -m tests.chaos [--faults N] [--seed N] [--without PROTECTION]`.

Exit code 0: everything settled and agrees; 1: something is lost, doubled, wrong, left over, or did not settle. With
--without one protection of the product is switched off, and 0 would mean that this harness cannot see loss.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from tests.chaos.points import PROTECTIONS, SETTINGS
from tests.support.running import environment

SHOWN = 20
DISK_BYTES = 512 * 1024 * 1024


def main() -> int:
    options = arguments()
    place = Path(tempfile.mkdtemp(prefix="chaos-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()

    def say(words: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - started:6.1f} s] {words}\n")
        sys.stderr.flush()

    say(f"seed {options.seed}, everything in {place}")
    try:
        with small_disk(place / "data", say) as data:
            report = observed(options, data, say)
            show(report, place, as_json=options.json)
            if report["broken"]:
                shutil.copytree(data, place / "kept", ignore=sockets)
    except KeyboardInterrupt:
        say("interrupted; everything that was started is gone")
        shutil.rmtree(place, ignore_errors=True)
        return 130
    if not report["broken"]:
        shutil.rmtree(place)
    return 1 if report["broken"] else 0


@contextmanager
def small_disk(data: Path, say: Any) -> Iterator[Path]:
    """A disk of its own that can be filled; a folder where nobody may mount one, and then it is never full."""
    data.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(data)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not mounted:
        say("no disk may be mounted here, so none will be full")
    try:
        yield data
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(data)], check=True)


def sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_socket()]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), metavar="N", help="the order of faults")
    parser.add_argument(
        "--without", choices=PROTECTIONS, default="", help="switch a protection off; it has to fail then"
    )
    parser.add_argument("--minutes", type=float, default=60.0, metavar="M", help="no new faults after this time")
    parser.add_argument(
        "--only", action="append", default=[], metavar="KIND", help="only this kind of fault (repeatable)"
    )
    parser.add_argument("--every", type=float, default=0.0, metavar="S", help="seconds between faults (by chance)")
    parser.add_argument("--readers", type=int, default=0, metavar="N", help="so many search the site meanwhile")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="the stand-in, if it is assembled somewhere")
    parser.add_argument("--stub", action="store_true", help="vectors made of a hash, which need no loading")
    parser.add_argument("--json", action="store_true", help="the report as JSON on standard output")
    return parser.parse_args()


def observed(options: argparse.Namespace, data: Path, say: Any) -> dict[str, Any]:
    """The report of a stack that lives as long as this call."""
    use(data, options.model)
    from tests.chaos.faults import KINDS
    from tests.chaos.harness import Harness, Options
    from tests.chaos.stack import Stack

    if unknown := set(options.only) - KINDS.keys():
        raise SystemExit(f"no fault is called {sorted(unknown)}; there are {sorted(KINDS)}")
    stack = Stack(data, data.with_name("chaos"), options.without, stub=options.stub, web=options.readers > 0)
    try:
        stack.running.until(stack.running.ready)
        say("the stack is ready")
        chosen = Options(
            options.faults, options.seed, options.without, options.minutes, options.only, options.stub, options.every,
            options.readers,
        )  # fmt: skip
        report = Harness(stack, data.with_name("files"), chosen, say).run()
        return judged(report, stack)
    finally:
        stack.destroy()


def use(data: Path, model: Path | None) -> None:
    """This process looks at the same rows and services as the stack."""
    os.environ.update(environment(data) | SETTINGS)
    django.setup()
    from ingestion.embedding.stand_in_model import assemble

    (data / "models").mkdir()
    if model:
        Path(settings.MODEL_PATH).symlink_to(model.resolve())
    else:
        assemble(Path(settings.MODEL_PATH))


def judged(report: dict[str, Any], stack: Any) -> dict[str, Any]:
    """The end itself has to be clean, too."""
    code = stack.stop()
    left = stack.left()
    ends = [f"the stack ended with {code}"] if code else []
    ends += [f"processes left over: {left}"] if left else []
    return {**report, "broken": [*report["broken"], *ends]}


def show(report: dict[str, Any], data: Path, *, as_json: bool) -> None:
    sys.stdout.write(json.dumps(report) + "\n" if as_json else "\n".join(lines(report, data)) + "\n")
    sys.stdout.flush()


def lines(report: dict[str, Any], data: Path) -> Iterator[str]:
    for kind, number in report["faults"].items():
        recovered = report["recoveries"].get(kind)
        yield f"{number:4} {kind}" + (f", recovered {recovered}" if recovered else "")
    took = report["recovery_seconds"]
    yield (
        f"{report['injected']} faults in {report['fault_seconds']} s with seed {report['seed']}; a process was back "
        f"after {took['median']} s (median), {took['max']} s at most; settled after {report['settle_seconds']} s"
    )
    if missed := sum(report["missed"].values()):
        yield f"{missed} more found nobody to strike"
    yield (
        f"{report['changes']} changes, {report['runs']} runs; at the end {report['documents']} documents, "
        f"{report['chunks']} chunks, {report['most_attempts']} attempts at most"
    )
    if (readers := report["readers"])["questions"]:
        yield f"questions {readers['questions']}, tries {readers['tries']}, seconds to an answer {readers['seconds']}"
    yield (
        f"{report['lost']} lost, {report['duplicated']} duplicated, {report['without_row']} without a row: "
        + (f"FAILED, see {data}" if report["broken"] else "as it should be")
    )
    yield from (f"  {words}" for words in report["broken"][:SHOWN])


if __name__ == "__main__":
    sys.exit(main())
