"""The picture of the tasks in the README, made of rows of rendered rooms.

python bench/gallery.py docs/tasks.jpg [--profile strict]

The rows are those whose answers are decided most clearly, so one dataset always gives one picture.
"""

import argparse
import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import PIL.Image
from PIL import ImageDraw, ImageFont

from spatial_ssrl.build import Recipe, build
from spatial_ssrl.row import Image, Row, read_rows

WIDTH, MARGIN, GAP, PADDING = 1600, 40, 28, 22
CELL = (WIDTH - 2 * MARGIN - 2 * GAP) // 3
PICTURE = (CELL - 2 * PADDING, 3 * (CELL - 2 * PADDING) // 4)
CELL_HEIGHT = PICTURE[1] + 2 * PADDING + 112
HEIGHT = 2 * MARGIN + 2 * GAP + 3 * CELL_HEIGHT
LETTER, SLIT = 50, 16
"""Pixels to the left of an option for its letter, and between options."""

PAPER, PANEL, INK, SOFT, ACCENT = "#171b21", "#232932", "#f3f5f8", "#b3bbc7", "#8fd0ff"
"""Dark, with margins: it reads well on a light page and on a dark one."""

SPLIT = "train"
FACTS = ("id", "task", "variant", "margin", "scene_id")
VIEWS = {0: "into the picture", 90: "left", 180: "the camera", 270: "right"}


@dataclass(frozen=True)
class Panel:
    """A task's place on the picture and what is written there."""

    task: str
    variant: str
    place: tuple[int, int]
    """Column and row."""
    title: str
    question: str


PANELS = (
    Panel("shuffle", "2x2", (0, 0), "Shuffled patches", "Which number belongs at each place\nof the original?"),
    Panel("flip", "2x2", (1, 0), "Flipped patch", "Which patch is mirrored, and how?\n0 upside down, 1 left and right"),
    Panel("depth", "order3", (2, 0), "Depth order", "In what order do the marked places lie,\nfrom near to far?"),
    Panel("crop", "square", (0, 1), "Cropped patch", "Which of the four pieces does the black square hide?"),
    Panel("position", "single", (2, 1), "Relative position", "You stand at 1, facing {view}.\nWhere is 2?"),
    Panel("flip", "2x2-turned", (0, 2), "Turned patch", "Which patch is turned,\nand by how many degrees clockwise?"),
    Panel("depth", "order4", (1, 2), "Depth order of four", "In what order do the marked places lie,\nfrom near to far?"),
    Panel("distance", "pairs", (2, 2), "Distances", "Which two places are farther apart\nin space?"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--profile", default="paper")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(sources=("synthetic:24?size=640x480",), n=120, seed=3, profile=arguments.profile)
        build(recipe, Path(folder) / "rows", 1, "gallery", lambda done, total: None)
        write_gallery(Path(folder) / "rows", arguments.out)


def write_gallery(dataset: Path, out: Path) -> None:
    """Draw the gallery of a dataset to the file `out`, a PNG or a JPEG by its name."""
    chosen = _choose(list(read_rows(dataset, SPLIT, FACTS)))
    ids = {fact["id"] for fact in chosen}
    rows = {row["id"]: row for row in read_rows(dataset, SPLIT) if row["id"] in ids}
    canvas = PIL.Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    for panel, fact in zip(PANELS, chosen, strict=True):
        _draw_panel(canvas, panel, rows[fact["id"]])
    canvas.save(out, quality=90, optimize=True)


def _choose(facts: Sequence[Row]) -> list[Row]:
    """The row of largest margin for each panel, each of another scene where there are as many."""
    chosen: list[Row] = []
    for panel in PANELS:
        fresh = {fact["scene_id"] for fact in facts} - {fact["scene_id"] for fact in chosen}
        chosen.append(max((fact for fact in facts if fact["task"] == panel.task), key=partial(_rank, panel, fresh)))
    return chosen


def _rank(panel: Panel, fresh: set[str], row: Row) -> tuple[bool, bool, float]:
    return row["variant"] == panel.variant, row["scene_id"] in fresh, row["margin"]


def _draw_panel(canvas: PIL.Image.Image, panel: Panel, row: Row) -> None:
    """A rounded panel with the row's pictures above its title, answer and question."""
    pen = ImageDraw.Draw(canvas)
    left, top = (MARGIN + panel.place[0] * (CELL + GAP), MARGIN + panel.place[1] * (CELL_HEIGHT + GAP))
    width = CELL if len(row["images"]) == 1 else 2 * CELL + GAP
    pen.rounded_rectangle((left, top, left + width - 1, top + CELL_HEIGHT - 1), 18, PANEL)
    _paste(canvas, row["images"][0], (left + PADDING, top + PADDING, *PICTURE))
    _draw_options(canvas, row, left + width - PADDING, top + PADDING)
    baseline = top + PADDING + PICTURE[1] + 46
    pen.text((left + PADDING, baseline), panel.title, INK, _font(34), "ls", stroke_width=0.5)
    pen.text((left + width - PADDING, baseline), _answer(row), ACCENT, _font(34), "rs", stroke_width=0.5)
    view = VIEWS.get(json.loads(row["params"]).get("view"), "")
    pen.multiline_text((left + PADDING, baseline + 34), panel.question.format(view=view), SOFT, _font(24), "ls", spacing=8)


def _draw_options(canvas: PIL.Image.Image, row: Row, right: int, top: int) -> None:
    """The pictures that a choice question offers, two by two up to `right`, the right one framed."""
    pen = ImageDraw.Draw(canvas)
    step = (PICTURE[1] + SLIT) // 2
    for i, image in enumerate(row["images"][1:]):
        letter = chr(ord("A") + i)
        x, y, side = right - (2 - i % 2) * (step + LETTER) + LETTER + SLIT, top + i // 2 * step, step - SLIT
        colour = ACCENT if letter == row["answer"] else PANEL
        pen.rectangle((x - 5, y - 5, x + side + 4, y + side + 4), colour)
        pen.text((x - 18, y + side // 2), letter, ACCENT if colour == ACCENT else SOFT, _font(32), "rm")
        _paste(canvas, image, (x, y, side, side))


def _paste(canvas: PIL.Image.Image, image: Image, box: tuple[int, int, int, int]) -> None:
    """An image as large as fits into a box of left, top, width and height, in its middle."""
    left, top, width, height = box
    picture = PIL.Image.open(io.BytesIO(image["bytes"])).convert("RGB")
    scale = min(width / picture.width, height / picture.height)
    shown = picture.resize((round(picture.width * scale), round(picture.height * scale)), PIL.Image.Resampling.LANCZOS)
    canvas.paste(shown, (left + (width - shown.width) // 2, top + (height - shown.height) // 2))


def _answer(row: Row) -> str:
    """The answer, or the option's text where it has one."""
    return row["options"][ord(row["answer"]) - ord("A")] if row["options"] else row["answer"]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


if __name__ == "__main__":
    main()
