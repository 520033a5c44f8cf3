"""A row boiled down to what the solvers need: features of every candidate, a few vectors, its words."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from spatial_ssrl.audit.altered import altered_look, altered_seams
from spatial_ssrl.audit.appearance import statistics
from spatial_ssrl.audit.crop import crop_border, crop_statistics, found_elsewhere, options_alone, resampling
from spatial_ssrl.audit.depth import depth_look, depth_place
from spatial_ssrl.audit.distance import distance_height, distance_length, distance_look, distance_place
from spatial_ssrl.audit.edges import shrink
from spatial_ssrl.audit.position import position_across, position_height, position_look, position_place
from spatial_ssrl.audit.puzzle import Features, Puzzle
from spatial_ssrl.audit.search import propose
from spatial_ssrl.audit.shuffle import shuffle_layout, shuffle_seams
from spatial_ssrl.row import Row

SOLVERS: dict[str, dict[str, Callable[[Puzzle], Features]]] = {
    "shuffle": {"seams": shuffle_seams, "layout": shuffle_layout},
    "flip": {"seams": altered_seams, "look": altered_look},
    "crop": {
        "border": crop_border,
        "options alone": options_alone,
        "found elsewhere": found_elsewhere,
        "statistics": crop_statistics,
        "resampling": resampling,
    },
    "depth": {"place": depth_place, "look": depth_look},
    "position": {
        "across": position_across,
        "height": position_height,
        "place": position_place,
        "look": position_look,
    },
    "distance": {
        "length": distance_length,
        "height": distance_height,
        "place": distance_place,
        "look": distance_look,
    },
}
"""Solvers by task: features by candidate. A new solver is a function and a line here."""
THUMBNAIL = 16


@dataclass(frozen=True)
class Example:
    """One row as the solvers see it, with its answer for fitting and for marking."""

    scene_id: str
    chance: float
    right: int
    """Index of the right candidate; -1 where it is not among those that were proposed."""
    answers: tuple[str, ...]
    meanings: tuple[str, ...]
    listed: bool
    """The candidates are all answers, not a proposal."""
    tables: dict[str, np.ndarray]
    """By solver, float32 (candidates, features)."""
    vectors: dict[str, np.ndarray]
    """What is known of the pictures as a whole, float32, by kind."""
    words: dict[str, str]
    """What the question says, by kind."""


def examine(row: Row) -> Example:
    """Boil a row down. The solvers get a Puzzle, which does not hold the answer."""
    puzzle = Puzzle.from_row(row)
    if not puzzle.answers:
        puzzle = replace(puzzle, proposed=propose(puzzle))  # too many to list
    tables = {
        name: np.stack(list(solve(puzzle).values()), axis=1).astype(np.float32)
        for name, solve in SOLVERS.get(puzzle.task, {}).items()
    }
    right = puzzle.answers.index(row["answer"]) if row["answer"] in puzzle.answers else -1
    known = (row["scene_id"], row["chance"], right, puzzle.answers, puzzle.meanings, not puzzle.proposed)
    return Example(*known, tables, _vectors(puzzle), _words(puzzle))


def _vectors(puzzle: Puzzle) -> dict[str, np.ndarray]:
    """Thumbnail of the first picture, statistics of all, traces of their files; each with the view."""
    view = np.eye(4)[puzzle.view // 90 % 4]
    found = {
        "thumbnail": shrink(puzzle.pictures[0], THUMBNAIL).ravel() / 255,
        "picture statistics": np.concatenate([statistics(p[::2, ::2]) for p in puzzle.pictures]),
        "file traces": np.concatenate([_file_traces(data) for data in puzzle.files]),
    }
    return {name: np.r_[vector, view].astype(np.float32) for name, vector in found.items()}


def _file_traces(data: bytes) -> np.ndarray:
    """Log size, width, height, and sum of the quantisation tables of an image file."""
    with Image.open(io.BytesIO(data)) as image:
        quantisation = sum(map(sum, getattr(image, "quantization", {}).values()))
        return np.array([np.log(len(data)), image.width, image.height, quantisation])


def _words(puzzle: Puzzle) -> dict[str, str]:
    """Nothing, the question without its options, and where there are options the view, alone and with them."""
    words = {"nothing": "", "question": puzzle.wording}
    if not puzzle.options:
        return words
    return words | {"view": str(puzzle.view), "view and options": f"{puzzle.view} {'|'.join(sorted(puzzle.options))}"}
