"""A script that runs a command which ends with its parent: ``parent_watch.py PARENT_PID COMMAND…``.

The kernel sends SIGKILL to the command as soon as the parent ends, even by ``kill -9``. Only Linux can do that;
elsewhere the command runs without it. The script imports nothing of this project and replaces itself by the command,
so that it costs about 15 ms and no process.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def bound_to_parent(command: Sequence[str]) -> list[str]:
    """Return the command line that runs ``command`` until it ends or this process does."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(parent: int, command: list[str]) -> None:
    """Become ``command``, to be killed when ``parent`` ends. Exits with 1 when it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the request was made
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
