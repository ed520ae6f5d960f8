"""Runs a command that dies with its supervisor: ``tether.py SUPERVISOR_PID COMMAND…``.

The kernel sends SIGKILL to the command as soon as the supervisor ends, even by ``kill -9``. Only Linux
can do that; elsewhere the command runs all the same. A script that loads nothing of ours and
becomes the command, so that it costs ~15 ms and no process.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def tethered(command: Sequence[str]) -> list[str]:
    """The command line that runs ``command`` as long as this process lives."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(supervisor: int, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:  # it ended before the request was made
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
