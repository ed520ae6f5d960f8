"""A real HTTP server on loopback that answers like GitHub's REST API, and a second one like its archive host.

``with GitHub() as hub: hub.repository("o/r").commit({"docs/a.md": b"..."})``; what was asked is in ``hub.calls``.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

Answer = Callable[["ApiHandler"], None]
PASS = "passing-token"  # what GitHub adds to the address of a private repository's archive


class Call(NamedTuple):
    kind: str  # commit, tree, archive, blob, codeload
    status: int
    headers: Mapping[str, str]


def blob_sha(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(body), body), usedforsecurity=False).hexdigest()


@dataclass
class Commit:
    """``links`` and ``submodules`` are paths; ``unarchived`` files are kept out of archives (export-ignore)."""

    files: Mapping[str, bytes]
    links: Mapping[str, str] = field(default_factory=dict)
    submodules: tuple[str, ...] = ()
    unarchived: tuple[str, ...] = ()
    truncated: bool = False
    archive: bytes = b""

    @property
    def sha(self) -> str:
        text = "".join(f"{path}\0{blob_sha(body)}\0" for path, body in sorted(self.files.items()))
        return hashlib.sha1(text.encode(errors="replace"), usedforsecurity=False).hexdigest()

    def tree(self) -> dict[str, object]:
        folders = {path.rpartition("/")[0] for path in self.files if "/" in path}
        entries: list[dict[str, object]] = [
            {"path": path, "mode": "040000", "type": "tree", "sha": "0" * 40} for path in folders
        ]
        entries += [{"path": path, "mode": "120000", "type": "blob", "sha": "1" * 40, "size": 9} for path in self.links]
        entries += [{"path": path, "mode": "160000", "type": "commit", "sha": "2" * 40} for path in self.submodules]
        entries += [
            {"path": path, "mode": "100644", "type": "blob", "sha": blob_sha(body), "size": len(body), "url": "…"}
            for path, body in self.files.items()
        ]
        kept = entries[: len(entries) // 2] if self.truncated else entries
        return {"sha": self.sha, "url": "…", "tree": kept, "truncated": self.truncated}

    def tarball(self, name: str) -> bytes:
        if not self.archive:
            self.archive = tarball(
                f"{name.replace('/', '-')}-{self.sha[:7]}",
                {path: body for path, body in self.files.items() if path not in self.unarchived},
                self.links,
            )
        return self.archive


def tarball(top: str, files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    packed = io.BytesIO()
    options = {"format": tarfile.PAX_FORMAT, "pax_headers": {"comment": "0" * 40}, "compresslevel": 1}
    with tarfile.open(fileobj=packed, mode="w:gz", **options) as tar:  # type: ignore[call-overload]
        for path, target in (links or {}).items():
            link = tarfile.TarInfo(f"{top}/{path}")
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        for path, body in files.items():
            file = tarfile.TarInfo(f"{top}/{path}")
            file.size = len(body)
            tar.addfile(file, io.BytesIO(body))
    return packed.getvalue()


@dataclass
class Repository:
    """``refs`` lead to commits; a ``private`` one is there for the hub's token only."""

    name: str
    private: bool = False
    refs: dict[str, Commit] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], *, ref: str = "HEAD", **options: object) -> Commit:
        commit = Commit(files, **options)  # type: ignore[arg-type]
        self.refs[ref] = self.commits[commit.sha] = commit
        return commit

    def find(self, ref: str) -> Commit | None:
        return self.refs.get(ref) or self.commits.get(ref)


class GitHub:
    """``remaining`` calls are allowed until ``reset``; ``script`` holds answers to be given before the true ones."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.calls: list[Call] = []
        self.script: deque[tuple[str, Answer]] = deque()
        self.token = ""
        self.codeload_status = 200
        self.spent_at, self.spent_seconds = "", 0.2
        self.remaining, self.reset, self.window = 5000, time.time() + 3600, 3600.0
        self.archive_delay = threading.Event()
        self.archive_delay.set()
        self.lock = threading.Lock()
        self._servers = [_Server(self, ApiHandler), _Server(self, CodeloadHandler)]
        self._threads = [
            threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.01}) for s in self._servers
        ]

    def __enter__(self) -> GitHub:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.archive_delay.set()
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def codeload(self) -> str:
        return f"http://127.0.0.1:{self._servers[1].server_port}"

    def repository(self, name: str, *, private: bool = False) -> Repository:
        return self.repositories.setdefault(name, Repository(name, private))

    def count(self) -> dict[str, int]:
        """Calls of the API that were answered, by kind."""
        return dict(Counter(call.kind for call in self.calls if call.kind != "codeload"))

    def answer_once(self, kind: str, status: int, body: bytes = b"{}", **headers: str) -> None:
        """Give this answer to the next call of a kind."""
        self.script.append((kind, lambda handler: handler.reply(status, body, **headers)))

    def take_call(self, kind: str) -> bool:
        """Count a call. The one of the kind ``spent_at`` finds the allowance spent, for ``spent_seconds``."""
        with self.lock:
            if kind == self.spent_at:
                self.spent_at, self.remaining, self.reset = "", 0, time.time() + self.spent_seconds
            elif time.time() >= self.reset:
                self.remaining, self.reset = 5000, time.time() + self.window
            allowed = self.remaining > 0
            self.remaining -= allowed
            return allowed


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: GitHub, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.hub = hub


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    kind = ""

    @property
    def hub(self) -> GitHub:
        return self.server.hub

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.hub.calls.append(Call(self.kind, status, dict(self.headers)))
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class CodeloadHandler(_Handler):
    """Sends what the API redirects to; knows no token but the one in the address."""

    kind = "codeload"

    def do_GET(self) -> None:
        _, owner, repo, _, sha = urlsplit(self.path).path.split("/")
        repository = self.hub.repositories[f"{owner}/{repo}"]
        self.hub.archive_delay.wait()
        if repository.private and PASS not in self.path:
            self.reply(404)
        elif self.hub.codeload_status != 200:
            self.reply(self.hub.codeload_status)
        else:
            self.reply(200, repository.commits[sha].tarball(repository.name), Content_Type="application/x-gzip")


class ApiHandler(_Handler):
    ROUTES = (
        ("commit", re.compile(r"commits/([^/]+)")),
        ("tree", re.compile(r"git/trees/([^/]+)\?recursive=1")),
        ("archive", re.compile(r"tarball/([^/]+)")),
        ("blob", re.compile(r"git/blobs/([^/]+)")),
    )

    def do_GET(self) -> None:
        found = re.fullmatch(r"/repos/([^/]+/[^/]+)/(.+)", self.path)
        assert found, self.path
        name, rest = found[1], found[2]
        self.kind, argument = next((kind, m[1]) for kind, route in self.ROUTES if (m := route.fullmatch(rest)))
        if self.hub.script and self.hub.script[0][0] == self.kind:
            self.hub.script.popleft()[1](self)
        elif name in self.hub.renamed:
            self.reply(301, Location=f"{self.hub.url}/repos/{self.hub.renamed[name]}/{rest}")
        elif self._is_permitted() and (repository := self._repository(name)):
            getattr(self, self.kind)(repository, unquote(argument))

    def say(self, status: int, message: object, **headers: str) -> None:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        allowance = {
            "X_RateLimit_Limit": "5000",
            "X_RateLimit_Remaining": str(self.hub.remaining),
            "X_RateLimit_Reset": str(int(self.hub.reset) + 1),
        }
        self.reply(status, body, **{"Content_Type": "application/json; charset=utf-8", **allowance, **headers})

    def _is_permitted(self) -> bool:
        given = self.headers.get("Authorization", "")
        if given and given != f"Bearer {self.hub.token}":
            self.say(401, {"message": "Bad credentials"})
            return False
        if not self.hub.take_call(self.kind):
            self.say(403, {"message": "API rate limit exceeded"})
            return False
        return True

    def _repository(self, name: str) -> Repository | None:
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self.headers.get("Authorization")):
            self.say(404, {"message": "Not Found"})
            return None
        return repository

    def commit(self, repository: Repository, ref: str) -> None:
        found = repository.find(ref)
        if not repository.commits:
            self.say(409, {"message": "Git Repository is empty."})
        elif found is None:
            self.say(422, {"message": f"No commit found for SHA: {ref}"})
        elif self.headers.get("If-None-Match") == f'"{found.sha}"':
            self.hub.remaining += bool(self.headers.get("Authorization"))
            self.say(304, b"", ETag=f'"{found.sha}"')
        else:
            assert self.headers["Accept"] == "application/vnd.github.sha"
            kind = "application/vnd.github.sha; charset=utf-8"
            self.say(200, found.sha.encode(), ETag=f'"{found.sha}"', Content_Type=kind)

    def tree(self, repository: Repository, sha: str) -> None:
        self.say(200, repository.commits[sha].tree())

    def archive(self, repository: Repository, sha: str) -> None:
        secret = f"?token={PASS}" if repository.private else ""
        self.say(302, b"", Location=f"{self.hub.codeload}/{repository.name}/legacy.tar.gz/{sha}{secret}")

    def blob(self, repository: Repository, sha: str) -> None:
        assert self.headers["Accept"] == "application/vnd.github.raw+json"
        bodies = (body for commit in repository.commits.values() for body in commit.files.values())
        body = next((body for body in bodies if blob_sha(body) == sha), None)
        if body is None:
            self.say(404, {"message": "Not Found"})
        else:
            self.say(200, body, Content_Type="application/vnd.github.raw+json; charset=utf-8")
