"""Rows and datasets for the audit's tests."""

import numpy as np

from spatial_ssrl.audit.attacks import Ranking, cross_fit
from spatial_ssrl.audit.example import SOLVERS, Example
from spatial_ssrl.audit.heads import BestCue
from spatial_ssrl.audit.puzzle import Puzzle
from spatial_ssrl.build.draw import draw_row
from spatial_ssrl.row import write_rows
from spatial_ssrl.scene import encode_jpeg
from spatial_ssrl.tasks import Drop, make_task


def rows_of(name, variant, scenes, count=1, split="train"):
    task = make_task(name, variant, "paper")
    drawn = [draw_row(scene, task, "paper", 0, split, k) for scene in scenes for k in range(count)]
    return [row for row in drawn if not isinstance(row, Drop)]


def write_dataset(folder, rows):
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split in {row["split"] for row in rows}:
        write_rows([row for row in rows if row["split"] == split], folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def accuracy(rows, solver, head=BestCue):
    """Cross-fitted accuracy of one solver on rows of one variant; no other solver is run."""
    solve = SOLVERS[rows[0]["task"]][solver]
    examples = [boil_down(row, {solver: solve}) for row in rows]
    return float(np.mean(cross_fit(Ranking(solver, (solver,), head()), examples)))


def boil_down(row, solvers):
    """An example with these solvers' features alone."""
    puzzle = Puzzle.from_row(row)
    tables = {name: np.stack(list(solve(puzzle).values()), axis=1) for name, solve in solvers.items()}
    words = {"question": puzzle.wording}
    right = puzzle.answers.index(row["answer"])
    return Example(row["scene_id"], row["chance"], right, puzzle.answers, puzzle.meanings, True, tables, {}, words)


def noise_image(seed, height=240, width=320):
    rng = np.random.default_rng(seed)
    return {"bytes": encode_jpeg(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)), "path": f"{seed}.jpg"}


def quiet(done, total):
    """Progress that nobody watches."""
