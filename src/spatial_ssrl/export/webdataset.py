"""Tar shards in WebDataset form, for trainers of one's own.

A sample is the files of a shard that share the name before the first dot (`base_plus_ext`,
webdataset/tariterators.py): ID.json, the row with its prompt, and ID.0.jpg, ID.1.jpg, ... Headers are
the same for everyone at any time, so equal rows give equal bytes.
"""

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar

from spatial_ssrl.export.base import Format, ImageForm, Place, Posed, training
from spatial_ssrl.export.settings import Settings

SHARD = 1000
"""Rows a shard, about 100 MB at 640 x 480."""


class WebDataset(Format):
    """SPLIT-000000.tar, SPLIT-000001.tar, ..."""

    image_forms: ClassVar[tuple[ImageForm, ...]] = ("embedded",)

    def write(self, rows: Iterator[Posed], split: str, place: Place) -> None:
        for shard, first in enumerate(rows):
            with tarfile.open(place.folder / f"{split}-{shard:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
                _add(tar, first)
                for posed in islice(rows, SHARD - 1):
                    _add(tar, posed)

    def command(self, out: Path, splits: Sequence[str], settings: Settings) -> str:
        shards = f"{out}/{training(splits)}-*.tar"
        return f'python -c "import glob, webdataset as w; print(next(iter(w.WebDataset(sorted(glob.glob({shards!r}))))))"'


def _add(tar: tarfile.TarFile, posed: Posed) -> None:
    row = posed.row
    described = {key: value for key, value in row.items() if key != "images"} | {"prompt": posed.text}
    files = {"json": json.dumps(described, ensure_ascii=False).encode()}
    files |= {f"{i}{Path(image['path']).suffix}": image["bytes"] for i, image in enumerate(posed.images)}
    for name, data in files.items():
        member = tarfile.TarInfo(f"{row['id']}.{name}")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
