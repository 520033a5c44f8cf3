"""Who makes what: rows apportioned to splits, variants and shards; scenes dealt to shards.

A shard is a unit of work that any process can do alone: it knows its quota and, for each round,
which scenes it may ask for rows. No scene is asked for the same k-th row by two shards.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from spatial_ssrl.build.copies import find_copies
from spatial_ssrl.build.recipe import Entry, Recipe
from spatial_ssrl.errors import SourceError
from spatial_ssrl.rng import digest, generator
from spatial_ssrl.sources import Source, open_source
from spatial_ssrl.tasks import TASKS

K = TypeVar("K")
Slot = tuple[str, Entry]
"""A split and a variant: what a row counts for."""


@dataclass(frozen=True)
class SceneRef:
    """A scene that a source can load."""

    source: int
    """Index into the plan's sources."""
    key: str
    has_depth: bool


@dataclass(frozen=True)
class Plan:
    """A recipe with its sources listed. Plain data: it travels to every worker."""

    recipe: Recipe
    sources: tuple[Source, ...]
    refs: tuple[SceneRef, ...]
    copies: tuple[tuple[str, str], ...] = ()
    """Files left out since an earlier file is the same, and that file, as source:key."""
    strict_inputs: bool = False
    """A file that cannot be used ends the build, rather than being skipped and listed."""

    @classmethod
    def create(cls, recipe: Recipe, strict_inputs: bool = False) -> "Plan":
        """List the sources. Raises SourceError when one gives no scene, or none serves a variant."""
        sources = tuple(open_source(text, recipe.n, recipe.seed) for text in recipe.sources)
        refs = tuple(SceneRef(i, key, s.has_depth) for i, s in enumerate(sources) for key in s.list_keys())
        refs, copies = _without_copies(refs, sources)
        plan = cls(recipe, sources, refs, copies, strict_inputs)
        if not plan.entries:
            raise SourceError(f"the recipe's tasks need depth, which no source of {', '.join(recipe.sources)} has")
        return plan

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Variants that at least one source can serve."""
        depth = any(ref.has_depth for ref in self.refs)
        return tuple(e for e in self.recipe.tasks if depth or not TASKS[e.task].needs_depth)

    @property
    def unserved(self) -> tuple[Entry, ...]:
        """Variants that need depth where no source has it."""
        return tuple(e for e in self.recipe.tasks if e not in self.entries)

    @property
    def rows(self) -> int:
        return sum(self.quotas.values())

    @property
    def shards(self) -> int:
        return -(-self.rows // self.recipe.rows_per_shard)

    @cached_property
    def rows_a_visit(self) -> int:
        """Rows of different variants to take from a scene while it is decoded, so that all scenes are used."""
        return -(-self.rows // len(self.refs))

    @cached_property
    def quotas(self) -> dict[Slot, int]:
        """Rows of each variant in each split; those of a variant sum to its count, and all to the recipe's n.

        What no source can serve is left out of the counts, while weights hand its rows to the other variants.
        """
        splits, counted = self.recipe.splits, self.recipe.tasks[0].count
        shares = {entry: entry.share for entry in (self.recipe.tasks if counted else self.entries)}
        quotas: dict[Slot, int] = {}
        owed = dict.fromkeys(splits, 0.0)  # what rounding has kept from a split so far, or below 0, given it too much
        for entry, count in apportion(self.recipe.n, shares).items():
            if entry not in self.entries:
                continue
            owed = {split: owed[split] + share * count for split, share in splits.items()}
            parts = apportion(count, {split: max(0.0, rows) for split, rows in owed.items()}) if count else {}
            quotas |= {(split, entry): rows for split, rows in parts.items()}
            owed = {split: owed[split] - parts.get(split, 0) for split in splits}
        return quotas

    def shard_quotas(self, shard: int) -> dict[Slot, int]:
        """This shard's part of every quota."""
        quotas: dict[Slot, int] = {}
        for i, (slot, total) in enumerate(self.quotas.items()):
            turn = (shard - i) % self.shards
            quotas[slot] = total // self.shards + (turn < total % self.shards)
        return {slot: quota for slot, quota in quotas.items() if quota}

    @property
    def rounds(self) -> list[range]:
        """For each round, which k-th rows of each variant a scene is asked for in one visit."""
        step, end = -(-self.rows_a_visit // len(self.entries)), self.recipe.rows_per_scene
        return [range(k, min(k + step, end)) for k in range(0, end, step)]

    def deal(self, shard: int, round_number: int) -> Iterator[SceneRef]:
        """The scenes that this shard may visit in a round, in a drawn order."""
        order = generator(self.recipe.seed, "round", round_number).permutation(len(self.refs))
        return (self.refs[i] for i in order[shard :: self.shards])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that decides the rows, by which a resumed build knows its own folder."""
        refs = digest(*(part for ref in self.refs for part in (ref.source, ref.key)))
        return digest(self.recipe.model_dump_json(), repr(self.sources), refs)


def _without_copies(
    refs: tuple[SceneRef, ...], sources: tuple[Source, ...]
) -> tuple[tuple[SceneRef, ...], tuple[tuple[str, str], ...]]:
    """Scenes in their order less those whose picture is the same file as another's; one with depth is kept first."""
    files = [(ref, span) for ref in refs if (span := sources[ref.source].span(ref.key))]
    files.sort(key=lambda item: not item[0].has_depth)
    copies = find_copies([span for _, span in files])
    left_out = {files[i][0] for i in copies}
    names = [":".join(sources[ref.source].origin(ref.key)) for ref, _ in files]
    return tuple(ref for ref in refs if ref not in left_out), tuple((names[i], names[j]) for i, j in copies.items())


def split_of(scene_id: str, splits: Mapping[str, float]) -> str:
    """The split of a scene, by its id alone: no picture is in two splits, whatever the seed."""
    point = int(digest("split", scene_id, size=8), 16) / 2**64
    total = 0.0
    for name, share in splits.items():
        total += share
        if point < total:
            return name
    return name


def apportion(total: int, weights: Mapping[K, float]) -> dict[K, int]:
    """Whole numbers in proportion to the weights that sum to `total`: largest remainders round up."""
    scale = total / sum(weights.values())
    parts = {slot: int(weight * scale) for slot, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda slot: parts[slot] - weights[slot] * scale)
    for slot in by_remainder[: total - sum(parts.values())]:
        parts[slot] += 1
    return parts
