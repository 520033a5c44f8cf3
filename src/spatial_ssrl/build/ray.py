"""The Ray engine: a task a shard, on a cluster whose nodes see sources and output under the same paths or URLs."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spatial_ssrl.build.engine import attempt
from spatial_ssrl.build.place import Place
from spatial_ssrl.build.plan import Plan
from spatial_ssrl.errors import DatasetError, MissingExtraError

POLL_SECONDS = 0.5
LOCAL = "local"
"""The address that starts a cluster on this machine."""


class Tasks:
    """Tasks of a Ray cluster; one whose worker or node is lost counts as a process that died."""

    def __init__(self, ray: Any, plan: Plan, out: Place) -> None:
        self.ray, self.out, self.plan = ray, out.absolute(), ray.put(plan)
        self.task = ray.remote(max_retries=0)(_attempt_in)
        self.pending: dict[Any, int] = {}

    @property
    def slots(self) -> int:
        """Twice the processors there are, so that none waits and a cluster that can grow sees the need."""
        return max(2, 2 * int(self.ray.cluster_resources().get("CPU", 0)))

    def start(self, index: int, banned: frozenset[str]) -> None:
        self.pending[self.task.remote(Path.cwd(), self.plan, self.out, index, banned)] = index

    def wait(self) -> Iterator[tuple[int, bool]]:
        ready, _ = self.ray.wait(list(self.pending), num_returns=len(self.pending), timeout=POLL_SECONDS)
        for task in ready:
            index = self.pending.pop(task)
            try:
                error = self.ray.get(task)
            except self.ray.exceptions.RayError:
                yield index, False
                continue
            if error:
                raise error
            yield index, True


@contextmanager
def ray_pool(plan: Plan, out: Place, workers: int, address: str) -> Iterator[Tasks]:
    """Tasks on the cluster at `address`, or on one with so many workers started here; disconnected at the end.

    Raises MissingExtraError, or DatasetError when no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "ray") from None
    started = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address, **started, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise DatasetError(f"no Ray cluster at {address!r}: {error}; --address auto, HOST:6379 or {LOCAL}") from None
    try:
        yield Tasks(ray, plan, out)
    finally:
        ray.shutdown()


def _attempt_in(folder: Path, plan: Plan, out: Place, index: int, banned: frozenset[str]) -> Exception | None:
    """A shard, made in the folder that relative paths of sources start from."""
    os.chdir(folder)
    return attempt(plan, out, index, banned)
