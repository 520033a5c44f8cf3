"""Making one shard: visit scenes round by round until every quota is met or no scene gives more."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from spatial_ssrl.build.draw import draw_row
from spatial_ssrl.build.plan import Plan, SceneRef, Slot, split_of
from spatial_ssrl.build.recipe import Entry
from spatial_ssrl.errors import SceneError, SourceError
from spatial_ssrl.row import Row
from spatial_ssrl.scene import Scene
from spatial_ssrl.sources import spell
from spatial_ssrl.tasks import Drop, make_task

NO_SPLIT = ""
PATIENCE = 4
"""A scene that failed a variant this many times in a row is not asked for it again; a final drop counts as all of them."""


@dataclass
class Account:
    """What was tried for a shard."""

    drops: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Draws that gave no row, by variant and reason."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Input files that could not be used, and why."""
    short: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rows that could not be made, by split and variant."""


class Shard:
    """One shard to be made: its rows, as they are made, and, once they are, an account of what was tried.

    `visiting` gets the name of each scene before it is decoded, and the rows made until then. Scenes named in `banned`
    end the process that decodes them, and are skipped.
    """

    def __init__(self, plan: Plan, index: int, visiting: Callable[[str, int], None], banned: frozenset[str]) -> None:
        self.plan, self.index, self.visiting, self.banned = plan, index, visiting, banned
        self.missing = Counter(plan.shard_quotas(index))
        self.planned = self.missing.total()
        self.failures: Counter[tuple[SceneRef, Entry]] = Counter()
        self.splits: dict[SceneRef, str | None] = defaultdict(lambda: None)
        self.account = Account()
        self.tasks = {e: make_task(e.task, e.variant, plan.recipe.profile) for e in plan.entries}

    def __iter__(self) -> Iterator[Row]:
        for number, ks in enumerate(self.plan.rounds):
            if not (+self.missing and any(map(self.wanted, self.plan.refs))):
                break
            for ref in self.plan.deal(self.index, number):
                if slots := self.wanted(ref):
                    yield from self.visit(ref, ks, any(self.tasks[entry].needs_depth for _, entry in slots))
        self.account.short.update({(split, entry.name): n for (split, entry), n in (+self.missing).items()})

    def wanted(self, ref: SceneRef) -> list[Slot]:
        """What this scene could still be asked for, most wanted first; its split may not be known yet."""
        split = self.splits[ref]
        slots = [
            (s, e)
            for (s, e), n in self.missing.items()
            if n > 0
            and split in (None, s)
            and (ref.has_depth or not self.tasks[e].needs_depth)
            and self.failures[ref, e] < PATIENCE
        ]
        return sorted(slots, key=lambda slot: -self.missing[slot])

    def visit(self, ref: SceneRef, ks: range, with_depth: bool) -> Iterator[Row]:
        """Decode a scene once and take rows of this round, of the variants that are wanted most."""
        source, max_side = self.plan.sources[ref.source], self.plan.recipe.max_side
        name = ":".join(source.origin(ref.key))
        self.visiting(name, self.planned - self.missing.total())
        try:
            if name in self.banned:
                raise SceneError("ends the process that decodes it")
            scene = source.load(ref.key, with_depth, max_side).fit(max_side)
        except SceneError as error:
            self.skip(ref, name, error)
            return
        self.splits[ref] = split_of(scene.id, self.plan.recipe.splits)
        yield from islice(self.rows(ref, scene, ks), self.plan.rows_a_visit)

    def skip(self, ref: SceneRef, name: str, error: SceneError) -> None:
        """List a scene that cannot be used, and never ask it again."""
        if self.plan.strict_inputs:
            raise SourceError(f"{name}: {error}")
        self.account.skipped[name] = spell(str(error))
        self.splits[ref] = NO_SPLIT

    def rows(self, ref: SceneRef, scene: Scene, ks: range) -> Iterator[Row]:
        """The k-th rows that a scene gives of each variant; drops are counted."""
        recipe = self.plan.recipe
        for k in ks:
            for split, entry in self.wanted(ref):
                row = draw_row(scene, self.tasks[entry], recipe.profile, recipe.seed, split, k)
                if isinstance(row, Drop):
                    self.account.drops[entry.name, row.reason] += 1
                    self.failures[ref, entry] += PATIENCE if row.final else 1
                    continue
                self.failures[ref, entry] = 0
                self.missing[split, entry] -= 1
                yield row
