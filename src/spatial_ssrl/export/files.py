"""Files written a group of rows at a time, in a folder that appears only once it is whole."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spatial_ssrl.errors import ExportError
from spatial_ssrl.row import ROW_GROUP

ACCOUNT = "spatial_export.json"
PARTIAL = ".partial"


def write_parquet(rows: Iterator[Mapping[str, Any]], schema: pa.Schema, path: Path) -> None:
    """Write rows as parquet, with one row group in memory."""
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_index=True) as file:
        while group := list(islice(rows, ROW_GROUP)):
            file.write_table(pa.Table.from_pylist(group, schema=schema))


def write_lines(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write rows as JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into; what is in it moves to `out` when all is written, and is gone when not.

    The move replaces the files of an earlier export. Raises ExportError when `out` holds anything else.
    """
    if out.exists() and any(out.iterdir()) and not any((out / name).exists() for name in (ACCOUNT, PARTIAL)):
        raise ExportError(f"{out} is not empty and holds no export; choose another --out")
    partial = out / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        _replace(out, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(out: Path, partial: Path) -> None:
    """Remove the earlier export that `out` holds, and move the new one in, its account last."""
    made = {path.name for path in partial.iterdir()} - {ACCOUNT}
    account = out / ACCOUNT
    earlier = json.loads(account.read_text(encoding="utf-8"))["files"] if account.exists() else []
    account.unlink(missing_ok=True)
    for path in (out / name for name in made.union(earlier)):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for name in (*sorted(made), ACCOUNT):
        (partial / name).replace(out / name)
