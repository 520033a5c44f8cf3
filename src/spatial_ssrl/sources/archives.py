"""Many pictures in one file: tar shards in WebDataset form, and tables with a column of pictures."""

import os
import tarfile
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from spatial_ssrl.errors import SceneError, SourceError, SpatialSSRLError
from spatial_ssrl.scene import MIN_SIDE, Scene, decode_picture
from spatial_ssrl.sources.base import IMAGE_SUFFIXES, LocalSource, PathSource
from spatial_ssrl.sources.files import Span


@dataclass(frozen=True)
class Tar(PathSource):
    """`tar:PATH`: pictures in uncompressed tar files, as WebDataset shards are. A key is `shard.tar/member`.

    Each archive is gone through once for the place and size of its members; nothing is extracted, so a member's
    name is a name and no path. What a damaged archive holds up to the damage is used.
    """

    name: ClassVar[str] = "tar"
    looked_for: ClassVar[str] = "uncompressed .tar files with pictures"

    @cached_property
    def members(self) -> dict[str, tuple[str, int, int] | None]:
        """Archive, start and size of each picture; a damaged archive has an entry, None, itself."""
        found: dict[str, tuple[str, int, int] | None] = {}
        for name in self.files.list():
            if name.lower().endswith(".tar"):
                found.update(self._index(name))
        return found

    def _index(self, name: str) -> Iterator[tuple[str, tuple[str, int, int] | None]]:
        try:
            with self.files.open(name) as file, tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    if member.isreg() and not member.issparse() and member.name.lower().endswith(IMAGE_SUFFIXES):
                        yield f"{name}/{member.name}", (name, member.offset_data, member.size)
                file.seek(archive.offset)
                damaged = any(file.read(tarfile.BLOCKSIZE))  # an archive ends with blocks of zeros
        except SpatialSSRLError:
            raise
        except Exception:  # readers of damaged files raise whatever they stumble over
            damaged = True
        if damaged:
            yield name, None

    def list_keys(self) -> Sequence[str]:
        return self.require(sorted(self.members))

    def span(self, key: str) -> Span | None:
        member = self.members[key]
        if member is None or not self.files.is_local:
            return None
        return Span(self.files.path(member[0]), *member[1:])

    def load(self, key: str, with_depth: bool = True, max_side: int | None = None) -> Scene:
        member = self.members[key]
        if member is None:
            raise SceneError("damaged archive", key)
        return Scene(decode_picture(self.files.read(*member), MIN_SIDE, max_side).rgb, origin=self.origin(key))


@dataclass(frozen=True)
class Table(PathSource):
    """Tables with a column of encoded pictures: bytes, or the struct of bytes and path of the Hugging Face Image feature.

    A key is `file#row`, or the name of a damaged file. Where a struct has no bytes, its path is read, relative to the
    table's folder.
    """

    column: str = ""
    """The column of pictures; where none is named, `image`, or the only one that can be meant."""

    suffix: ClassVar[str]

    def list_keys(self) -> Sequence[str]:
        names = [n for n in self.files.list() if n.endswith(self.suffix) and not os.path.basename(n).startswith("cache-")]
        return self.require([key for name in names for key in self._rows(name)])

    def _rows(self, name: str) -> list[str]:
        """Keys of a file's rows, or the name of a damaged one. Raises SourceError where it has no column of pictures."""
        try:
            schema, rows = self.describe(name)
        except SpatialSSRLError:
            raise
        except Exception:  # readers of damaged files raise whatever they stumble over
            return [name]
        self.find_column(schema, name)
        return [f"{name}#{row}" for row in range(rows)]

    def find_column(self, schema: pa.Schema, name: str) -> str:
        """The column of pictures. Raises SourceError."""
        fit = [field.name for field in schema if _can_hold_pictures(field.type)]
        column = self.column or ("image" if "image" in fit else fit[0] if len(fit) == 1 else "")
        if column not in fit:
            asked = f"column {column!r}" if column else "one column"
            raise SourceError(
                f"{self.name}: looked for {asked} of pictures (bytes, or a struct with bytes) in {name}; found "
                f"{', '.join(fit) or 'none'} of {', '.join(schema.names)}; name one by ?column=NAME"
            )
        return column

    def span(self, key: str) -> Span | None:
        return None

    def load(self, key: str, with_depth: bool = True, max_side: int | None = None) -> Scene:
        if key.endswith(self.suffix):
            raise SceneError("damaged table", key)
        name, _, row = key.rpartition("#")
        try:
            cell = self.cell(name, int(row))
        except SpatialSSRLError:
            raise
        except Exception as error:
            raise SceneError("damaged table", f"{name}: {error}") from None
        return Scene(decode_picture(self._to_bytes(cell, name), MIN_SIDE, max_side).rgb, origin=self.origin(key))

    def _to_bytes(self, cell: Any, name: str) -> bytes:
        data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell, None)
        if data is None and path:
            return self.files.read(os.path.join(os.path.dirname(name), path))
        if data is None:
            raise SceneError("no picture in this row")
        return data

    @abstractmethod
    def describe(self, name: str) -> tuple[pa.Schema, int]:
        """Schema and rows of a file."""

    @abstractmethod
    def cell(self, name: str, row: int) -> Any:
        """What the column of pictures holds in a row."""


@dataclass(frozen=True)
class Parquet(Table):
    """`parquet:PATH?column=image`: to load a row, its row group is read."""

    name: ClassVar[str] = "parquet"
    suffix: ClassVar[str] = ".parquet"
    looked_for: ClassVar[str] = ".parquet files with a column of pictures"

    def describe(self, name: str) -> tuple[pa.Schema, int]:
        with self.files.open(name) as file, pq.ParquetFile(file) as table:
            return table.schema_arrow, table.metadata.num_rows

    def cell(self, name: str, row: int) -> Any:
        with self.files.open(name) as file, pq.ParquetFile(file) as table:
            column, group = self.find_column(table.schema_arrow, name), 0
            while row >= (rows := table.metadata.row_group(group).num_rows):
                row, group = row - rows, group + 1
            return table.read_row_group(group, [column])[column][row].as_py()


@dataclass(frozen=True)
class Arrow(Table, LocalSource):
    """`datasets:FOLDER`: what `datasets.Dataset.save_to_disk` writes, Arrow streams read in place."""

    name: ClassVar[str] = "datasets"
    suffix: ClassVar[str] = ".arrow"
    looked_for: ClassVar[str] = ".arrow files of Dataset.save_to_disk with a column of pictures"

    def describe(self, name: str) -> tuple[pa.Schema, int]:
        table = _map_arrow(str(self.files.path(name)))
        return table.schema, table.num_rows

    def cell(self, name: str, row: int) -> Any:
        table = _map_arrow(str(self.files.path(name)))
        return table[self.find_column(table.schema, name)][row].as_py()


@lru_cache(maxsize=64)
def _map_arrow(path: str) -> pa.Table:
    """The table of an Arrow stream, mapped into memory, not read."""
    return pa.ipc.open_stream(pa.memory_map(path)).read_all()


def _can_hold_pictures(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
