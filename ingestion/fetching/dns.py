"""Host name -> addresses, within a given time. Only ``ssrf_guard`` imports this.

The system's resolver takes no time-out, and a name server that does not answer holds it for half a minute and more.
Each look-up therefore runs in a thread of its own, and the caller stops waiting for it. An abandoned thread ends when
the resolver gives up; at most ``MAX_LOOKUPS`` run at a time in a process.
"""

from __future__ import annotations

import socket
import threading
import time
from queue import Empty, SimpleQueue

from ingestion.exceptions import AddressRefused, FetchFailed

# One result of getaddrinfo(): family, type, protocol, canonical name, address to connect to.
Resolved = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]

# A worker process looks up one name at a time; the other threads are look-ups that it gave up on.
MAX_LOOKUPS = 8
_room = threading.BoundedSemaphore(MAX_LOOKUPS)


def resolve(host: str, port: int, *, timeout: float) -> list[Resolved]:
    """Return all addresses of ``host``, a name or an address in any spelling that the system knows.

    Raise FetchFailed when there is none or when it takes longer than ``timeout`` seconds, AddressRefused when ``host``
    cannot be a host name.
    """
    end = time.monotonic() + timeout
    if not _room.acquire(timeout=timeout):
        raise FetchFailed(f"{host}: {MAX_LOOKUPS} look-ups of names still wait for an answer; check the name server")
    answers: SimpleQueue[list[Resolved] | Exception] = SimpleQueue()
    try:
        threading.Thread(target=_look_up, args=(host, port, answers), name="look-up", daemon=True).start()
    except RuntimeError as error:
        _room.release()
        raise FetchFailed(f"{host}: no thread can be started to look the name up ({error})") from error
    try:
        answer = answers.get(timeout=max(0.0, end - time.monotonic()))
    except Empty:
        raise FetchFailed(f"{host}: the name was not resolved within {timeout:.3g} s") from None
    if isinstance(answer, UnicodeError):
        raise AddressRefused(f"{host!r} is not a host name") from None
    if isinstance(answer, OSError):
        raise FetchFailed(f"{host}: the name does not resolve ({answer.strerror})") from answer
    if isinstance(answer, Exception):
        raise answer
    if not answer:
        raise FetchFailed(f"{host}: the name has no address")
    return answer


def _look_up(host: str, port: int, answers: SimpleQueue[list[Resolved] | Exception]) -> None:
    """Put the addresses of ``host``, or the error of the look-up, into ``answers``, and give back this look-up's room.

    It runs in a thread of its own and never raises. ``host`` may be an IPv6 address in brackets.
    """
    try:
        answers.put(list(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)))
    except Exception as error:
        answers.put(error)
    finally:
        _room.release()
