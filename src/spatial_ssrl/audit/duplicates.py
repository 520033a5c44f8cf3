"""Pictures that occur twice, and pictures of another collection, by perceptual hash (DCT, 64 bits).

The first picture of a puzzle is put together again with its answer before it is hashed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from spatial_ssrl.audit.altered import restore
from spatial_ssrl.audit.crop import hole_of
from spatial_ssrl.audit.puzzle import Puzzle
from spatial_ssrl.errors import DatasetError, SceneError
from spatial_ssrl.row import Row
from spatial_ssrl.scene import decode_rgb
from spatial_ssrl.tasks.grid import join, resize

NEAR = 6
"""Hashes that differ in at most so many of 64 bits are of nearly the same picture."""
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
BLOCK = 2048


@dataclass(frozen=True)
class Print:
    """Hash of a scene's picture, and where it is from."""

    name: str
    """Scene id, or the path of a file."""
    place: str
    """Split, or the collection."""
    bits: int


@dataclass(frozen=True)
class Match:
    """Two pictures that are nearly the same."""

    first: str
    second: str
    places: tuple[str, str]
    bits: int
    """In how many of 64 bits they differ."""


def print_of(row: Row) -> Print:
    """Hash the scene of a row."""
    return Print(row["scene_id"], row["split"], perceptual_hash(whole(row)))


def perceptual_hash(picture: np.ndarray) -> int:
    """The 64-bit perceptual hash of a picture."""
    import imagehash

    return int(str(imagehash.phash(Image.fromarray(picture))), 16)


def whole(row: Row) -> np.ndarray:
    """A row's first picture, put together again with its answer."""
    puzzle, answer = Puzzle.from_row(row), row["answer"]
    if row["task"] == "crop":
        left, top, side = hole_of(puzzle)
        filled = puzzle.pictures[0].copy()
        filled[top : top + side, left : left + side] = resize(puzzle.pictures[1 + ord(answer) - ord("A")], side, side)
        return filled
    if not puzzle.boxes:
        return puzzle.pictures[0]
    patches = puzzle.patches
    if row["task"] == "shuffle":
        return join([patches[int(k)] for k in answer.split("-")], puzzle.boxes)
    label, change = answer.split("-")
    patches[int(label)] = restore(patches[int(label)], change)
    return join(patches, puzzle.boxes)


def matches(first: Sequence[Print], second: Sequence[Print] | None = None) -> list[Match]:
    """Pairs within one list, or between two, whose hashes are near; nearest first."""
    ours, theirs = _bits(first), _bits(first if second is None else second)
    found = []
    for start in range(0, len(ours), BLOCK):
        apart = np.bitwise_count(ours[start : start + BLOCK, None] ^ theirs[None])
        for i, j in np.argwhere(apart <= NEAR):
            if second is not None or start + i < j:
                a, b = first[start + i], (second or first)[j]
                found.append(Match(a.name, b.name, (a.place, b.place), int(apart[i, j])))
    return sorted(found, key=lambda match: (match.bits, match.first, match.second))


def _bits(prints: Sequence[Print]) -> np.ndarray:
    return np.array([p.bits for p in prints], np.uint64)


def read_collection(path: Path) -> list[Print]:
    """Hashes of a folder of images, or of a parquet file or folder with an image column.

    Files that are no pictures are passed over. Raises DatasetError when nothing is left.
    """
    prints = []
    for name, data in _encoded(path):
        try:
            prints.append(Print(name, str(path), perceptual_hash(decode_rgb(data))))
        except SceneError:
            continue
    if not prints:
        raise DatasetError(f"{path} holds no images; expected image files, or parquet files with an image column")
    return prints


def _encoded(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every image."""
    if not path.exists():
        raise DatasetError(f"{path} does not exist; expected a folder of images, or parquet files with an image column")
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        if file.suffix.lower() in SUFFIXES:
            yield str(file), file.read_bytes()
        elif file.suffix == ".parquet":
            yield from _from_parquet(file)


def _from_parquet(file: Path) -> Iterator[tuple[str, bytes]]:
    """Images in the columns `image` or `images`: structs with bytes, plain bytes, or lists of either."""
    with pq.ParquetFile(file) as table:
        columns = [name for name in table.schema_arrow.names if name in ("image", "images")]
        index = 0
        for batch in table.iter_batches(batch_size=64, columns=columns):
            for row in batch.to_pylist():
                yield from ((f"{file}#{index}", data) for value in row.values() for data in _bytes_in(value))
                index += 1


def _bytes_in(value: Any) -> Iterator[bytes]:
    if isinstance(value, list):
        for part in value:
            yield from _bytes_in(part)
    elif isinstance(value, dict):
        yield from _bytes_in(value.get("bytes"))
    elif isinstance(value, bytes):
        yield value
