"""A row of a dataset: its columns, its parquet schema, its id.

`datasets.load_dataset("parquet", data_files=...)` decodes the images of such a file, because the
schema carries the Hugging Face feature description that says so.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from spatial_ssrl.errors import DatasetError
from spatial_ssrl.rng import digest

ROW_GROUP = 64
"""Rows a row group, about 10 MB at 640 x 480: a dataset viewer reads one group to show one page."""


class Image(TypedDict):
    """An encoded picture, as the Hugging Face Image feature stores it."""

    bytes: bytes
    path: str


class Row(TypedDict):
    """One puzzle. Everything needed to pose it, to score a reply, and to render it again."""

    id: str
    task: str
    variant: str
    profile: str
    level: int
    """Difficulty within the task, from 1."""
    problem: str
    """Question with one `<image>` a picture and the form of the answer; no thinking instruction."""
    answer: str
    """Canonical form, see grammar.py."""
    grammar: str
    images: list[Image]
    options: list[str] | None
    """Texts of a choice question in letter order; None where the options are pictures or there are none."""
    chance: float
    """Accuracy of a uniform guess over the answers that can be right."""
    margin: float
    """By how much the answer is decided, in the task's unit; never below `margin_threshold`."""
    margin_threshold: float
    scene_id: str
    source: str
    split: str
    params: str
    """JSON of the drawn parameters."""


_STRING = {"dtype": "string", "_type": "Value"}
_FLOAT = {"dtype": "float32", "_type": "Value"}
_FEATURES = {
    **dict.fromkeys(Row.__annotations__, _STRING),
    "level": {"dtype": "int32", "_type": "Value"},
    "images": {"feature": {"_type": "Image"}, "_type": "Sequence"},
    "options": {"feature": _STRING, "_type": "Sequence"},
    "chance": _FLOAT,
    "margin": _FLOAT,
    "margin_threshold": _FLOAT,
}
_ARROW = {
    "level": pa.int32(),
    "images": pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    "options": pa.list_(pa.string()),
    "chance": pa.float32(),
    "margin": pa.float32(),
    "margin_threshold": pa.float32(),
}

SCHEMA = pa.schema(
    [(name, _ARROW.get(name, pa.string())) for name in Row.__annotations__],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)

_LEAVES = {"images": "images.list.element.path", "options": "options.list.element"}
_TEXT = [_LEAVES.get(name, name) for name in Row.__annotations__]
"""What compresses, and is looked for: all columns but the bytes of the pictures."""
_COMPRESSION = {"images.list.element.bytes": "none"} | dict.fromkeys(_TEXT, "zstd")


def row_id(seed: int, split: str, profile: str, task: str, variant: str, scene_id: str, k: int) -> str:
    """The id of the k-th row that a scene gives of a variant; unique within a dataset."""
    return digest(seed, split, profile, task, variant, scene_id, k)


@contextmanager
def row_writer(path: Path) -> Iterator[Callable[[Row], None]]:
    """A function that takes the rows of a file one by one. The file gets its name at the end: one that exists is whole."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    waiting: list[Row] = []

    def flush() -> None:
        writer.write_table(pa.Table.from_pylist(waiting, schema=SCHEMA))
        waiting.clear()

    def write(row: Row) -> None:
        waiting.append(row)
        if len(waiting) == ROW_GROUP:
            flush()

    options: dict[str, Any] = dict.fromkeys(("use_dictionary", "write_statistics"), _TEXT)
    try:
        with pq.ParquetWriter(temporary, SCHEMA, compression=_COMPRESSION, write_page_index=True, **options) as writer:
            yield write
            if waiting:
                flush()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write a file of rows."""
    with row_writer(path) as write:
        for row in rows:
            write(row)


def splits_of(dataset: Path) -> list[str]:
    """The splits that a dataset has. Raises DatasetError when it has none."""
    names = (re.fullmatch(r"(.+)-\d+-of-\d+", path.stem) for path in (dataset / "data").glob("*.parquet"))
    found = sorted({name[1] for name in names if name})
    if not found:
        raise DatasetError(f"{dataset} holds no rows; expected data/SPLIT-*.parquet as `spatial-ssrl build` writes them")
    return found


def split_files(dataset: Path, split: str) -> list[Path]:
    """The parquet files of one split. Raises DatasetError when there are none."""
    files = sorted((dataset / "data").glob(f"{split}-[0-9]*-of-*.parquet"))
    if not files:
        raise DatasetError(
            f"{dataset} holds no split {split!r}; found {splits_of(dataset)};"
            " more images would fill it, or a recipe whose `splits` name it"
        )
    return files


def count_rows(dataset: Path, split: str) -> int:
    """Rows of one split, by its files' footers."""
    return sum(pq.read_metadata(path).num_rows for path in split_files(dataset, split))


def read_rows(dataset: str | Path, split: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of one split in file order, a row group at a time."""
    for path in split_files(Path(dataset), split):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROW_GROUP, columns=columns):
                yield from batch.to_pylist()


def pick_rows(dataset: str | Path, split: str, ids: set[str]) -> Iterator[Row]:
    """The rows of one split with these ids in file order; only row groups that hold one are read whole."""
    for path in split_files(Path(dataset), split):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                known = file.read_row_group(group, ["id"])["id"].to_pylist()
                if places := [i for i, identity in enumerate(known) if identity in ids]:
                    yield from file.read_row_group(group).take(places).to_pylist()
