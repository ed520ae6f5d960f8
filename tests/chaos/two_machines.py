"""Two machines on one broker, one of them cut off and back: `python -m tests.chaos.two_machines [--pages N]`.

Each machine is a network namespace with a host name of its own, a CPU worker, an embedding worker on its own device and
half of the Beats. PostgreSQL, Redis, Milvus Lite and the index worker stand outside, behind a bridge. While a folder is
ingested, the second machine's cable is pulled out for a time longer than every lease, and a Beat that sends is killed.
Exit code 0: every document is indexed, rows and index agree, both machines embedded, and one Beat at a time sent.
Needs root, and Debian's PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import psycopg
from django.conf import settings

from ragproject.embedded.parent_watch import bound_to_parent
from tests.benchmarks.generated import write_pages
from tests.support import databases

if TYPE_CHECKING:
    from ragproject.embedded.services import Service

BRIDGE, HUB = "ragproject0", "10.77.0.1"
NAMES = ("machine-a", "machine-b")
LEASE_SECONDS = 5
# Every chunk that an embedding worker finished, with the worker's name: what a claim's owner says before it is cleared.
TRACE = """
CREATE TABLE embedded (chunk bigint, owner text);
CREATE FUNCTION note() RETURNS trigger AS $$ BEGIN INSERT INTO embedded VALUES (OLD.id, OLD.owner); RETURN NEW; END $$
LANGUAGE plpgsql;
CREATE TRIGGER note AFTER UPDATE ON ingestion_chunk FOR EACH ROW
WHEN (OLD.state = 'embedding' AND NEW.state IN ('buffered', 'indexed')) EXECUTE FUNCTION note();
"""


@dataclass
class Machine:
    """A network namespace; ``processes`` run in it under its host name."""

    name: str
    address: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def cable(self) -> str:
        return f"rag-{self.name[-1]}"

    def plug(self) -> None:
        inside = f"{self.cable}-in"
        ip("netns", "add", self.name)
        ip("link", "add", self.cable, "type", "veth", "peer", "name", inside, "netns", self.name)
        ip("link", "set", self.cable, "master", BRIDGE, "up")
        ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", inside)
        ip("-n", self.name, "link", "set", inside, "up")
        ip("-n", self.name, "link", "set", "lo", "up")

    def run(self, log: Path, *command: str, **extra: str) -> subprocess.Popen[bytes]:
        words = f'hostname {self.name} && exec "$@"'
        inside = ["ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c", words, "sh", *command]
        with log.open("ab") as output:
            process = subprocess.Popen(
                bound_to_parent(inside), env={**os.environ, **extra}, stdout=output, stderr=output,
                cwd=settings.BASE_DIR, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def network() -> Iterator[list[Machine]]:
    """A bridge with two machines on it, gone at the end."""
    machines = [Machine(name, f"10.77.0.{number}") for number, name in enumerate(NAMES, 2)]
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("addr", "add", f"{HUB}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for machine in machines:
            machine.plug()
        yield machines
    finally:
        for machine in machines:
            end(machine.processes)
            subprocess.run(["ip", "link", "del", machine.cable], check=False)
            subprocess.run(["ip", "netns", "del", machine.name], check=False)
        subprocess.run(["ip", "link", "del", BRIDGE], check=False)


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def database() -> str:
    """The address of an empty database on a server of its own, which the machines reach over the network."""
    databases.OPTIONS["listen_addresses"] = HUB
    folder = Path(tempfile.mkdtemp(prefix="machines-"))
    local = databases.start_server(folder)
    with (folder / "data" / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.77.0.0/24 trust\n")
    with psycopg.connect(local, autocommit=True) as connection:
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CREATE DATABASE machines")
    return f"postgres://tests@{HUB}/machines"


class Trial:
    """The services in ``place``, the machines, and what is seen of them."""

    def __init__(self, place: Path, machines: list[Machine], beats: int) -> None:
        self.place, self.machines, self.beats = place, machines, beats
        self.hub: list[subprocess.Popen[bytes]] = []
        self.killed: set[int] = set()

    def start(self) -> None:
        from ingestion.embedding.stand_in_model import assemble
        from ragproject.embedded import services

        assemble(Path(settings.MODEL_PATH))
        for server in (services.redis_server(), services.milvus_server()):
            self._beside(server)
            while server.trouble():
                time.sleep(0.2)
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=settings.BASE_DIR, check=True)
        with psycopg.connect(settings_url(), autocommit=True) as connection:
            connection.execute(TRACE.encode())
        self._beside(services.index_worker())
        for machine in self.machines:
            for worker in (services.cpu_worker(1), services.gpu_worker()):
                log = self.place / f"{machine.name}-{worker.name}.log"
                machine.run(log, *worker.command, **worker.environment)
        for number in range(self.beats):
            machine = self.machines[number % len(self.machines)]
            machine.run(self.place / f"beat-{number}.log", *services.beat().command)

    def _beside(self, service: Service) -> None:
        command = bound_to_parent(list(service.command))
        with (self.place / f"{service.name}.log").open("ab") as output:
            self.hub.append(
                subprocess.Popen(command, stdout=output, stderr=output, cwd=service.directory, start_new_session=True)
            )

    def ingest(self, folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "manage.py", "ingest", str(folder), "--wait", "--json"]
        return subprocess.Popen(command, cwd=settings.BASE_DIR, stdout=subprocess.PIPE, text=True)

    def beats_that_send(self) -> list[int]:
        """The numbers of the living Beats whose last word about it is that they send."""
        found = []
        for number in set(range(self.beats)) - self.killed:
            words = [
                line for line in (self.place / f"beat-{number}.log").read_text().splitlines() if "this Beat" in line
            ]
            if words and "sends the jobs" in words[-1] and "another" not in words[-1]:
                found.append(number)
        return found

    def kill_beat(self, number: int) -> None:
        """Beat number ``n`` was started after the workers of its machine, as its ``n // machines``-th."""
        machine = self.machines[number % len(self.machines)]
        process = machine.processes[2 + number // len(self.machines)]
        os.killpg(process.pid, signal.SIGKILL)
        self.killed.add(number)

    def counted(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(settings_url()) as connection:
            return connection.execute(statement.encode()).fetchall()


def settings_url() -> str:
    return os.environ["DATABASE_URL"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--beats", type=int, default=10)
    parser.add_argument("--cut-seconds", type=float, default=30.0, metavar="S")
    options = parser.parse_args()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="two-machines-")))
        machines = stack.enter_context(network())
        os.environ.update(
            DJANGO_SETTINGS_MODULE="ragproject.settings", DATA_DIR=str(place / "data"), DATABASE_URL=database(),
            REDIS_URL=f"redis://:secret@{HUB}:6379/0", MILVUS_URI=f"http://{HUB}:19530", MILVUS_ANONYMOUS="true",
            EMBED_MODEL="stand-in", DISPATCH_SECONDS="1", LEASE_SECONDS=str(LEASE_SECONDS), RETRY_SECONDS="0.5",
            EMBED_CLAIM_TOKENS="4000", EMBEDDINGS_FLUSH_SECONDS="3",
        )  # fmt: skip
        django.setup()
        trial = Trial(place, machines, options.beats)
        stack.callback(end, trial.hub)
        trial.start()
        report = observed(trial, options)
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 1 if report["wrong"] else 0


def say(words: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {words}\n")


def observed(trial: Trial, options: argparse.Namespace) -> dict[str, Any]:
    run = trial.ingest(write_pages(trial.place / "pages", options.pages, words=600, seed=7))
    second = trial.machines[1]
    by_machine = "SELECT split_part(split_part(owner, '/', 1), '@', 1), count(*) FROM embedded GROUP BY 1 ORDER BY 1"
    while len(trial.counted(by_machine)) < 2:
        assert run.poll() is None, "the run was over before both machines had embedded"
        time.sleep(0.5)
    say(f"both embed; {second.name} is cut off")
    before = trial.counted(by_machine)
    ip("link", "set", second.cable, "down")
    time.sleep(options.cut_seconds / 2)
    sending = trial.beats_that_send()
    for number in sending:
        trial.kill_beat(number)
    say(f"Beats that sent and are killed: {sending}")
    time.sleep(options.cut_seconds / 2)
    during = trial.counted(by_machine)
    ip("link", "set", second.cable, "up")
    say(f"{second.name} is back")
    output, _ = run.communicate()
    figures = json.loads(output)
    after = trial.counted(by_machine)
    time.sleep(6)
    audit = subprocess.run(
        [sys.executable, "manage.py", "audit", "--json"], cwd=settings.BASE_DIR, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    twice = trial.counted("SELECT count(*) FROM (SELECT chunk FROM embedded GROUP BY chunk HAVING count(*) > 1) x")
    states = dict(trial.counted("SELECT state, count(*) FROM ingestion_chunk GROUP BY state"))
    still = trial.beats_that_send()
    wrong = [
        words
        for words, holds in {
            "not every document is indexed": figures["indexed"] == options.pages,
            "chunks that are not indexed": set(states) == {"indexed"},
            "rows and index differ": audit.returncode == 0,
            "one machine embedded nothing after it was back": dict(after)[second.name] > dict(during)[second.name],
            "not one Beat sends": len(still) == 1,
        }.items()
        if not holds
    ]
    return {
        "wrong": wrong, "pages": options.pages, "chunks": states, "embedded_before": before, "during": during,
        "after": after, "embedded_twice": twice[0][0], "beats_killed": sending, "beats_that_send": still,
        "seconds": figures.get("seconds"), "audit": json.loads(audit.stdout or "{}"),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
