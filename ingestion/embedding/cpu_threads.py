"""The threads in which batches compute.

On a CPU several batches compute at a time, each in a thread and on a core of its own: no operation waits for the
slowest of its threads. Django's chunks with the stand-in on two cores, in float32: 7 800 tokens/s in batches of 1 024,
7 500 of 512, 7 200 of 256. Few texts gain as much: two questions in two batches take 7.6 ms, in one 12.4; eight 23 and
29. A batch that comes alone runs in the caller's thread.

On other devices a batch runs in the caller's thread: there a computation is only started, and the device goes on by
itself.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import torch

# The cores that PyTorch finds for this process. Asked before a thread is started here: later ones begin with the number
# that was set last, which is 1, and a second model that was loaded in one had a single core.
CORES = torch.get_num_threads()

P = ParamSpec("P")
T = TypeVar("T")


class BatchExecutor:
    """Runs up to ``parallel`` batches at a time, each in a thread on one core; with 1, in the caller's thread."""

    def __init__(self, parallel: int) -> None:
        self.parallel = parallel
        # PyTorch's number of threads is set per thread; a new thread begins with the number that was set last.
        self._pool = ThreadPoolExecutor(parallel, "batch", initializer=torch.set_num_threads, initargs=(1,))

    def start(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start ``work`` beside other batches and return its result as a future."""
        return self._pool.submit(work, *args, **kwargs) if self.parallel > 1 else run_here(work, *args, **kwargs)

    def start_alone(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``work`` in the caller's thread, PyTorch's part with all cores, and return a future that is done."""
        if self.parallel > 1:
            torch.set_num_threads(self.parallel)
        return run_here(work, *args, **kwargs)


def run_here(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Run ``work`` in the caller's thread and return a future that is done, with its result or its error."""
    future: Future[T] = Future()
    try:
        future.set_result(work(*args, **kwargs))
    except Exception as error:
        future.set_exception(error)
    return future
