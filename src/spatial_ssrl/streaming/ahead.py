"""Rows made ahead of their use, by processes of this machine, in the order in which they were asked for."""

import multiprocessing
import signal
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from spatial_ssrl.build.local import end_with_parent
from spatial_ssrl.build.plan import Plan
from spatial_ssrl.build.recipe import Entry
from spatial_ssrl.streaming.maker import Made, Maker

DIED = "process died"


class Processes:
    """Makes rows in processes. One that dies costs no row, unless it dies again with nothing else to do."""

    def __init__(self, plan: Plan, split: str, workers: int) -> None:
        self.start = plan, split
        self.workers = workers
        self.pool = self._open()
        self.waiting: deque[tuple[int, Entry, Future[Made]]] = deque()

    def ask(self, number: int, entry: Entry) -> None:
        """Have a row made."""
        try:
            self.waiting.append((number, entry, self.pool.submit(_make, number, entry)))
        except BrokenProcessPool:
            self._begin_again()
            self.waiting.append((number, entry, self.pool.submit(_make, number, entry)))

    def take(self) -> Made:
        """The row that was asked for first."""
        number, entry, future = self.waiting.popleft()
        try:
            return future.result()
        except BrokenProcessPool:
            made = self._make_alone(number, entry)
            self._begin_again()
            return made

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _make_alone(self, number: int, entry: Entry) -> Made:
        self.close()
        self.pool = self._open()
        try:
            return self.pool.submit(_make, number, entry).result()
        except BrokenProcessPool:
            made = Made()
            made.drops[entry.name, DIED] += 1
            return made

    def _begin_again(self) -> None:
        """Ask new processes for all that was asked for."""
        self.close()
        self.pool = self._open()
        self.waiting = deque((n, entry, self.pool.submit(_make, n, entry)) for n, entry, _ in self.waiting)

    def _open(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=spawn, initializer=_start, initargs=self.start)


class Here:
    """The same in this process, where a row is made when it is taken."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.waiting: deque[tuple[int, Entry]] = deque()

    def ask(self, number: int, entry: Entry) -> None:
        self.waiting.append((number, entry))

    def take(self) -> Made:
        return self.maker.make(*self.waiting.popleft())

    def close(self) -> None:
        pass


_MAKERS: list[Maker] = []
"""Of a process of a pool: its own one."""


def _start(plan: Plan, split: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    _MAKERS.append(Maker(plan, split))


def _make(number: int, entry: Entry) -> Made:
    return _MAKERS[0].make(number, entry)
