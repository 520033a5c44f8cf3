"""Which rows of a dataset are audited, and the columns of all of them."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from spatial_ssrl.rng import digest
from spatial_ssrl.row import Row, read_rows, splits_of

COLUMNS = tuple(name for name in Row.__annotations__ if name != "images")
WHOLENESS = {"depth": 0, "position": 0, "distance": 0, "flip": 1, "crop": 2, "shuffle": 3}
"""Tasks by how little their first picture departs from the scene."""


def read_columns(dataset: Path) -> list[Row]:
    """All rows, without their images."""
    return [{**row, "images": []} for split in splits_of(dataset) for row in read_rows(dataset, split, COLUMNS)]


def choose(rows: list[Row], limit: int) -> set[str]:
    """Ids of at most `limit` rows of each variant, by hash: the same ones whatever the order."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        groups[row["task"], row["variant"]].append(row["id"])
    return {i for ids in groups.values() for i in sorted(ids, key=lambda i: digest("audit row", i))[:limit]}


def representatives(rows: list[Row]) -> set[str]:
    """Id of one row of each scene of each split, of the task that shows the scene most as it is."""
    best: dict[tuple[str, str], tuple[int, str]] = {}
    for row in rows:
        key, rank = (row["split"], row["scene_id"]), (WHOLENESS.get(row["task"], 4), row["id"])
        best[key] = min(best.get(key, rank), rank)
    return {identity for _, identity in best.values()}


def read_chosen(dataset: Path, ids: set[str]) -> Iterator[Row]:
    """The rows with these ids, images and all, one at a time."""
    for split in splits_of(dataset):
        yield from (row for row in read_rows(dataset, split) if row["id"] in ids)
