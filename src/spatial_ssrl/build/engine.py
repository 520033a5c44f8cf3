"""What all engines share: a shard made by some process, and what to do when that process dies.

A process leaves a trail: the scene it is about to decode. A shard whose process died is made again elsewhere, and
a scene at which processes died three times is skipped from then on, with a reason, as any file that cannot be used.
"""

import json
import signal
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from spatial_ssrl.build.place import Place, work_folder
from spatial_ssrl.build.plan import Plan
from spatial_ssrl.build.shard import Shard
from spatial_ssrl.build.store import trail_path, write_shard
from spatial_ssrl.errors import DatasetError

DEATHS_A_SCENE = 3
"""Deaths at one scene by which it is held to be their cause; an unlucky one sees fewer."""
DEATHS_A_SHARD = 6
"""Deaths of a shard's processes, at scenes not known to be their cause, after which the build ends."""
SECONDS_A_VISIT = 300.0
"""CPU seconds after which a process that is still at one scene is ended by the system."""


class Pool(Protocol):
    """Processes that make shards, on this machine or on others."""

    @property
    def slots(self) -> int:
        """Shards to hand out at a time."""

    def start(self, index: int, banned: frozenset[str]) -> None:
        """Have some process call `attempt` for this shard."""

    def wait(self) -> Iterable[tuple[int, bool]]:
        """Shards that ended within a moment, and whether their process lived; raises what `attempt` returned."""


def run_shards(plan: Plan, out: Place, shards: Sequence[int], pool: Pool, progress: Callable[[int], None]) -> None:
    """Make the shards and write them under `out`; `progress` gets the number of rows made so far.

    Raises DatasetError when processes keep dying and no scene explains it.
    """
    waiting, running, mourner, done = deque(shards), set[int](), Mourner(out), 0
    while waiting or running:
        while waiting and len(running) < pool.slots:
            index = waiting.popleft()
            trail_path(out, index).unlink(missing_ok=True)
            pool.start(index, frozenset(mourner.banned))
            running.add(index)
        for index, lived in pool.wait():
            running.discard(index)
            if lived:
                done += sum(plan.shard_quotas(index).values())
            else:
                mourner.note(index)
                waiting.appendleft(index)
        progress(done + sum(_read_trail(out, index)[1] for index in running))


class Mourner:
    """Finds the scenes that processes die of."""

    def __init__(self, out: Place) -> None:
        self.out = out
        self.banned: set[str] = set()
        self.by_scene: Counter[str] = Counter()
        self.by_shard: Counter[int] = Counter()

    def note(self, index: int) -> None:
        """Note the death of a shard's process. Raises DatasetError when there are too many."""
        scene, _ = _read_trail(self.out, index)
        self.by_scene[scene] += 1
        self.by_shard[index] += 1
        if scene and self.by_scene[scene] >= DEATHS_A_SCENE:
            self.banned.add(scene)
            self.by_shard[index] = 0
        elif self.by_shard[index] >= DEATHS_A_SHARD:
            raise DatasetError(
                f"{DEATHS_A_SHARD} processes that made shard {index} died, the last one at {scene or 'its start'}, most "
                "likely for lack of memory; finished shards are kept: run the same command again with fewer --workers"
            )


def attempt(plan: Plan, out: Place, index: int, banned: frozenset[str]) -> Exception | None:
    """Make and store a shard in this process, skipping banned scenes. Errors are returned, to travel between processes."""

    def leave(scene: str, rows: int) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS_A_VISIT)
        trail.seek(0)
        trail.write(json.dumps([scene, rows]))
        trail.truncate()

    try:
        work_folder(out).mkdir(parents=True, exist_ok=True)
        with trail_path(out, index).open("w") as trail:  # opening a file for every scene would cost 1 ms each
            write_shard(out, Shard(plan, index, leave, banned), plan.shards)
    except OSError as error:
        return DatasetError(f"cannot write in {out}: {error}; finished shards are kept: the same command goes on from them")
    except Exception as error:
        error.add_note(traceback.format_exc())
        return error
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return None


def _read_trail(out: Place, index: int) -> tuple[str, int]:
    """The scene that a shard's process was last at, and the rows made before; empty where it is not known."""
    try:
        scene, rows = json.loads(trail_path(out, index).read_text())
    except (OSError, ValueError):
        return "", 0
    return scene, rows
