"""Tables of benchmarks as they lie on disk: TSV (VLMEvalKit's form), CSV, JSON, JSON lines, parquet.

A VLMEvalKit TSV has the columns index, image (base64, a list of it, or the index of another row that holds it),
image_path, question, hint, A, B, ..., answer, category, l2-category, split; a benchmark uses some of them.
"""

import ast
import csv
import functools
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate.question import Picture

Record = dict[str, Any]

FORMS = (".tsv", ".csv", ".json", ".jsonl", ".parquet")
LONGEST_REFERENCE = 64
"""VLMEvalKit's rule: a shorter image column names another row."""


def read_records(path: Path) -> list[Record]:
    """The rows of a file, or of the files of a folder in order of name; empty cells are left out.

    Each gets `_file`, the name of its file without suffix. Raises DatasetError for other forms and for damaged files.
    """
    return [{**_without_gaps(record, file), "_file": file.stem} for file in data_files(path) for record in _read(file)]


def data_files(path: Path) -> list[Path]:
    """The tables of a path: itself, or the files of a folder. Raises DatasetError when there are none."""
    if "*" in path.name:
        files = sorted(path.parent.glob(path.name))
    else:
        files = [path] if path.is_file() else sorted(f for form in FORMS for f in path.rglob(f"*{form}"))
    if not files or files[0].suffix not in FORMS:
        raise DatasetError(
            f"{path} is no table of a benchmark; expected a file, or a folder with files, of {', '.join(FORMS)}"
        )
    return files


def md5(files: Sequence[Path]) -> str:
    """MD5 of a table, as VLMEvalKit lists it; of several files, of their MD5s in this order."""
    digests = []
    for file in files:
        with file.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "md5").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.md5("\n".join(digests).encode()).hexdigest()


def _read(file: Path) -> Iterator[Record]:
    try:
        match file.suffix:
            case ".tsv" | ".csv":
                yield from _read_separated(file, "\t" if file.suffix == ".tsv" else ",")
            case ".jsonl":
                yield from map(json.loads, filter(str.strip, file.read_text(encoding="utf-8").split("\n")))
            case ".json":
                content = json.loads(file.read_text(encoding="utf-8"))
                yield from _longest_list(content) if isinstance(content, Mapping) else content
            case _:
                import pyarrow.parquet as pq

                with pq.ParquetFile(file) as table:
                    for batch in table.iter_batches(batch_size=64):
                        yield from batch.to_pylist()
    except (OSError, TypeError, ValueError, csv.Error) as error:
        raise DatasetError(f"{file} cannot be read: {error}; fetch it again") from None


def _read_separated(file: Path, separator: str) -> Iterator[Record]:
    csv.field_size_limit(sys.maxsize)
    with file.open(encoding="utf-8", newline="") as stream:
        for record in csv.DictReader(stream, delimiter=separator):
            if None in record:
                raise ValueError(f"more cells than columns in the row that begins {next(iter(record.values()))!r}")
            yield record


def _longest_list(content: Mapping[str, Any]) -> list[Record]:
    """The rows of a JSON object, which lie in its longest list: {"info": ..., "questions": [...]}."""
    return max((value for value in content.values() if isinstance(value, list)), key=len, default=[])


def _without_gaps(record: Record, file: Path) -> Record:
    if not isinstance(record, Mapping):
        raise DatasetError(
            f"{file} holds {record!r:.60} where a row with named cells is expected; is it a benchmark's table?"
        )
    return {name: value for name, value in record.items() if value is not None and value != "" and value == value}


def plain_cells(record: Record) -> dict[str, Any]:
    """The texts and numbers of a row; pictures and lists are left out."""
    return {k: v for k, v in record.items() if k not in ("image", "_file") and isinstance(v, str | int | float)}


def as_list(value: Any) -> list[Any]:
    """A list from a list, from text that shows one ("['a', 'b']"), or from a single value."""
    if isinstance(value, str) and value[:1] == "[" and value[-1:] == "]":
        try:
            return list(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            return [value]
    return list(value) if isinstance(value, list | tuple) else [value]


def letters(record: Record, names: Sequence[str] = "ABCDEFGHIJ") -> tuple[str, ...]:
    """The options in columns A, B, ..., as far as they go without a gap."""
    options: list[str] = []
    for name in names:
        if name not in record:
            break
        options.append(str(record[name]))
    return tuple(options)


class Pictures:
    """The pictures of a table's rows: embedded, named by another row, or files beside the table."""

    def __init__(self, records: Sequence[Record], folder: Path) -> None:
        self.folder = folder
        self.embedded = {
            str(r["index"]): r["image"] for r in records if "index" in r and not _is_reference(r.get("image", ""))
        }

    def of(self, record: Record, *columns: str) -> tuple[Picture, ...]:
        """The pictures of a row: of its `image`, else of `image_path`, or of other columns."""
        if columns:
            return tuple(self._one(value) for name in columns if name in record for value in as_list(record[name]))
        image = record.get("image")
        if isinstance(image, str) and _is_reference(image):
            image = self.embedded.get(image, image if Path(image).suffix else None)
        value = image if image is not None else record.get("image_path")
        return () if value is None else tuple(self._one(v) for v in as_list(value))

    def _one(self, value: Any) -> Picture:
        if isinstance(value, Mapping):
            return Picture(value["bytes"]) if value.get("bytes") else self._file(value["path"])
        if isinstance(value, bytes):
            return Picture(value)
        return self._file(value) if len(value) < 1024 and Path(value).suffix else Picture(value)

    def _file(self, name: str) -> Picture:
        """A file beside the table, or in images/ there or one folder up."""
        return Picture(self._root(PurePath(name).parts[0]) / name)

    @functools.cache  # noqa: B019
    def _root(self, top: str) -> Path:
        roots = (self.folder, self.folder / "images", self.folder.parent, self.folder.parent / "images")
        return next((root for root in roots if (root / top).exists()), self.folder)


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_REFERENCE
