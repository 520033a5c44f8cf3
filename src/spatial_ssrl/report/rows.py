"""A dataset as the report shows it: counts, drops, balance of answers, example rows with their pictures."""

import base64
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import PIL.Image

from spatial_ssrl.audit import Audit
from spatial_ssrl.errors import DatasetError, RecipeError
from spatial_ssrl.report.reading import Json, read_json, split_order
from spatial_ssrl.report.shortcuts import Verdict, verdicts_of
from spatial_ssrl.row import Image, Row, pick_rows, read_rows
from spatial_ssrl.tasks import make_task

MANIFEST_KEYS = ("command", "counts", "drops", "fingerprint", "recipe", "scenes", "short", "skipped", "unserved", "versions")
FACTS = ("id", "task", "variant", "level", "answer", "grammar", "chance", "margin", "scene_id", "split")
"""Columns that are read of every row; pictures are read of the rows that are shown."""

EXAMPLES, EXTREMES = 3, 2
PICTURE_SIDE, SMALL_SIDE = 480, 360
"""Longer side of a puzzle's picture as shown, in pixels; options have half of it."""


@dataclass(frozen=True)
class Data:
    """A dataset: its manifest and the facts of its rows, those of the test split first."""

    folder: Path
    manifest: Json
    facts: tuple[Row, ...]
    audit: Audit | None
    """What `audit.json` holds, where there is one."""

    @classmethod
    def read(cls, folder: Path) -> "Data":
        manifest = read_json(folder / "manifest.json", MANIFEST_KEYS)
        splits = sorted(manifest["counts"], key=split_order, reverse=True)
        facts = tuple(row for split in splits for row in read_rows(folder, split, FACTS))
        audit = folder / "audit.json"
        return cls(folder, manifest, facts, Audit.read(audit) if audit.is_file() else None)

    @property
    def splits(self) -> dict[str, int]:
        """Rows by split."""
        counts = self.manifest["counts"]
        return {split: sum(counts[split].values()) for split in sorted(counts, key=split_order)}

    @property
    def variants(self) -> list[str]:
        """Names, as task/variant, of what was asked for, in the order of the recipe."""
        return [f"{entry['task']}/{entry['variant']}" for entry in self.manifest["recipe"]["tasks"]]

    @cached_property
    def tasks(self) -> dict[str, list[Row]]:
        """Facts of the rows of each task, in the order of the recipe."""
        found: dict[str, list[Row]] = {name.partition("/")[0]: [] for name in self.variants}
        for row in self.facts:
            found.setdefault(row["task"], []).append(row)
        return {task: rows for task, rows in found.items() if rows}

    @property
    def drops(self) -> list[tuple[str, str, int, float]]:
        """Variant, reason, dropped draws, and their share of the variant's draws."""
        found = []
        for name, reasons in self.manifest["drops"].items():
            draws = sum(reasons.values()) + sum(counts.get(name, 0) for counts in self.manifest["counts"].values())
            found += [(name, reason, n, n / draws) for reason, n in reasons.items()]
        return found

    @property
    def skipped(self) -> dict[str, list[str]]:
        """Files that could not be used, by reason."""
        by_reason: dict[str, list[str]] = {}
        for path, reason in self.manifest["skipped"].items():
            by_reason.setdefault(reason, []).append(path)
        return by_reason

    @property
    def balance(self) -> "list[Balance]":
        """How often each answer is the right one, for each task and form of answer."""
        groups: dict[tuple[str, float], Counter[str]] = {}
        for task, rows in self.tasks.items():
            for row in rows:
                groups.setdefault((task, row["chance"]), Counter())[row["answer"]] += 1
        return [Balance(task, chance, dict(sorted(counts.items()))) for (task, chance), counts in groups.items()]

    @property
    def examples(self) -> "dict[str, list[Example]]":
        """A few rows of each task, easier ones first."""
        chosen = {task: choose(rows, EXAMPLES) for task, rows in self.tasks.items()}
        rows = self.fetch([row for picked in chosen.values() for row in picked])
        return {task: [self.show(rows[row["id"]]) for row in picked] for task, picked in chosen.items()}

    @property
    def verdicts(self) -> list[Verdict]:
        """What the audit says of each variant."""
        return verdicts_of(self.audit, self.variants) if self.audit else []

    @property
    def extremes(self) -> "dict[str, tuple[list[Example], list[Example]]]":
        """The least and the most decided rows of each variant, the extreme ones first."""
        groups: dict[str, list[Row]] = {name: [] for name in self.variants}
        for row in self.facts:
            groups.setdefault(f"{row['task']}/{row['variant']}", []).append(row)
        chosen = {name: pick_extremes(rows, EXTREMES) for name, rows in groups.items() if rows}
        rows = self.fetch([row for least, most in chosen.values() for row in least + most])
        shown = {i: self.show(row, SMALL_SIDE) for i, row in rows.items()}
        return {
            name: ([shown[row["id"]] for row in least], [shown[row["id"]] for row in most])
            for name, (least, most) in chosen.items()
        }

    def margin_unit(self, name: str) -> str | None:
        """What the margin of a variant counts; None for one that is not known here."""
        task, _, variant = name.partition("/")
        try:
            return make_task(task, variant, self.manifest["recipe"]["profile"]).margin_unit
        except RecipeError:
            return None

    def fetch(self, facts: Iterable[Row]) -> dict[str, Row]:
        """Whole rows, pictures included, by id."""
        wanted: dict[str, set[str]] = {}
        for fact in facts:
            wanted.setdefault(fact["split"], set()).add(fact["id"])
        return {row["id"]: row for split, ids in wanted.items() for row in pick_rows(self.folder, split, ids)}

    def show(self, row: Row, side: int = PICTURE_SIDE) -> "Example":
        """A row made ready for the page, its picture at most `side` px."""
        return Example.create(row, self.largest_margins[row["task"]], side)

    @cached_property
    def largest_margins(self) -> dict[str, float]:
        """By task."""
        return {task: max(row["margin"] for row in rows) for task, rows in self.tasks.items()}


def choose(rows: Sequence[Row], n: int) -> list[Row]:
    """The first rows of different variants, levels and scenes, as far as there are; by level."""
    chosen: list[Row] = []
    used: Counter[object] = Counter()
    while len(chosen) < min(n, len(rows)):
        row = min(rows, key=lambda row: [used[key] for key in _traits(row)])
        used.update(_traits(row))
        chosen.append(row)
    return sorted(chosen, key=lambda row: row["level"])


def pick_extremes(rows: Sequence[Row], n: int) -> tuple[list[Row], list[Row]]:
    """The `n` rows of smallest margin, and of the rest the `n` of largest; the extreme ones first."""
    ranked = sorted(rows, key=lambda row: (row["margin"], row["id"]))
    return ranked[:n], ranked[n:][: -n - 1 : -1]


def _traits(row: Row) -> list[object]:
    """What rows should not share when they are shown together, the worst first."""
    return [row["id"], ("variant", row["variant"]), row["level"], row["scene_id"]]


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, with its size as shown and the letter of the option that it is."""

    uri: str
    size: tuple[int, int]
    letter: str

    @classmethod
    def create(cls, image: Image, letter: str, side: int) -> "Picture":
        """An image of a row as a JPEG of at most `side` px, half that for an option.

        Raises DatasetError when it cannot be decoded.
        """
        try:
            with PIL.Image.open(io.BytesIO(image["bytes"])) as opened:
                picture = opened.convert("RGB")
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
            raise DatasetError(f"picture {image['path']} cannot be decoded: {error}; build the dataset again") from None
        side = side // 2 if letter else side
        picture.thumbnail((side, side))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=85, subsampling=0, optimize=True)
        return cls("data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(), picture.size, letter)


@dataclass(frozen=True)
class Example:
    """A row with its pictures, its question without their placeholders, and the largest margin of its task."""

    row: Row
    pictures: tuple[Picture, ...]
    question: str
    largest_margin: float

    @classmethod
    def create(cls, row: Row, largest_margin: float, side: int) -> "Example":
        letters = re.findall(r"(?:^([A-Z])\. )?<image>", row["problem"], re.MULTILINE)
        pictures = [Picture.create(image, letter, side) for image, letter in zip(row["images"], letters, strict=False)]
        question = re.sub(r"^(?:[A-Z]\. )?<image>\n?|<image>", "", row["problem"], flags=re.MULTILINE)
        return cls(row, tuple(pictures), question.strip(), largest_margin)

    @property
    def answer(self) -> str:
        """The answer, with the option's text where it has one."""
        answer, options = self.row["answer"], self.row["options"]
        return f"{answer} ({options[ord(answer) - ord('A')]})" if options else answer


@dataclass(frozen=True)
class Balance:
    """How many rows each answer of one form has, against equal shares."""

    task: str
    chance: float
    counts: Mapping[str, int]

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    @property
    def noise(self) -> float:
        """How far a share strays from `chance` in 95% of fair draws."""
        return 1.96 * math.sqrt(self.chance * (1 - self.chance) / self.rows)

    @property
    def top(self) -> float:
        """The share at the top of the chart."""
        return 1.05 * max(max(self.counts.values()) / self.rows, self.chance + self.noise, 1.5 * self.chance)
