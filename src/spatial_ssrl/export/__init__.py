"""Rows in the form that a trainer reads, in a folder that is whole or not there.

OUT/train.parquet (or .jsonl, -000000.tar), ...    a split, under its name
OUT/images/ab/ID-0.jpg                             images, where rows hold paths
OUT/spatial_reward.py                              the reward in the trainer's form, in one file
OUT/train.yaml, OUT/run.sh                         settings, and what starts the trainer (easyr1, swift, llamafactory)
OUT/spatial_export.json                            what was exported, and the files above; written last
"""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from spatial_ssrl.errors import DatasetError, ExportError
from spatial_ssrl.export.base import Format, Place, pose
from spatial_ssrl.export.easyr1 import EasyR1
from spatial_ssrl.export.files import ACCOUNT, whole_folder
from spatial_ssrl.export.llamafactory import LlamaFactory
from spatial_ssrl.export.settings import Settings
from spatial_ssrl.export.swift import Swift
from spatial_ssrl.export.trl import TRL
from spatial_ssrl.export.verl import Verl
from spatial_ssrl.export.webdataset import WebDataset
from spatial_ssrl.grammar import INSTRUCTIONS
from spatial_ssrl.row import count_rows, read_rows, splits_of

__all__ = ["FORMATS", "Exported", "export"]

FORMATS: dict[str, Format] = {
    "trl": TRL(),
    "verl": Verl(),
    "easyr1": EasyR1(),
    "swift": Swift(),
    "llamafactory": LlamaFactory(),
    "webdataset": WebDataset(),
}

T = TypeVar("T")


@dataclass(frozen=True)
class Exported:
    """What an export came to."""

    rows: dict[str, int]
    """By split."""
    command: str
    """How to start the trainer; MODEL stands for the model."""


def export(
    dataset: Path,
    to: str,
    out: Path,
    *,
    images: str | None = None,
    instruction: str = "think",
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None],
) -> Exported:
    """Write all splits of a finished dataset folder for the trainer `to`, a key of FORMATS.

    `images` is "embedded" or "paths", the format's own choice if None; paths are absolute. `instruction`
    is a key of INSTRUCTIONS and ends each prompt. `settings` are a preset's, by the names of `Settings`; the
    paper's stand where it says nothing. `progress` gets rows written and rows in all. An export
    that `out` holds is replaced. Raises DatasetError without a finished dataset, ExportError for an
    unknown name, a form of images that the trainer does not read, or an `out` that holds something else.
    """
    form = _known("--to", to, FORMATS)
    _known("--instruction", instruction, INSTRUCTIONS)
    if settings and form.stage is None:
        raise ExportError(f"--preset: no settings are written for {to}; `spatial-ssrl train` starts trl and verl")
    image_form, chosen = form.image_form(images), Settings.create(form.stage or "grpo", settings)
    if not (dataset / "manifest.json").exists():
        raise DatasetError(f"{dataset} has no manifest.json; build it, or let an interrupted build finish")
    counts = {split: count_rows(dataset, split) for split in splits_of(dataset)}
    told = (out.absolute(), list(counts), chosen)
    beside, command = form.beside(*told), form.command(*told)  # before a row is written, since they can be refused
    with whole_folder(out) as folder:
        place = Place(folder, out.absolute(), image_form)
        done = itertools.count(1)
        for split in counts:
            posed = pose(read_rows(dataset, split), instruction)
            form.write(_counted(posed, lambda: progress(next(done), sum(counts.values()))), split, place)
        for name, text in beside.items():
            (folder / name).write_text(text, encoding="utf-8")
        about = {"to": to, "images": image_form, "instruction": instruction, "dataset": str(dataset), "rows": counts}
        account = {**about, "files": sorted(path.name for path in folder.iterdir())}
        (folder / ACCOUNT).write_text(json.dumps(account, indent=2) + "\n", encoding="utf-8")
    return Exported(counts, command)


def _known(option: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise ExportError(f"{option} {name}: unknown; known: {', '.join(known)}")
    return known[name]


def _counted(rows: Iterator[T], tick: Callable[[], None]) -> Iterator[T]:
    for row in rows:
        yield row
        tick()
