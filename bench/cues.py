"""Fit the weights of the seam and layout cues on photographs, for tasks/cues.json.

python bench/cues.py PHOTOS... [--out FILE]

A JSON line a variant says how many rows, drawn from photographs but not balanced, the cue solves when it is fitted
on every second photograph and asked about the others. The weights that are written are fitted on all.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from spatial_ssrl.rng import generator
from spatial_ssrl.scene import Scene, read_rgb
from spatial_ssrl.tasks import make_task
from spatial_ssrl.tasks.crop import OPTIONS, Crop
from spatial_ssrl.tasks.cues import FEATURES, features
from spatial_ssrl.tasks.patches import PatchTask

KINDS = {
    "row": ("shuffle/1x3", "shuffle/1x4"),
    "column": ("shuffle/3x1", "shuffle/4x1"),
    "square": ("shuffle/2x2", "shuffle/2x2-masked"),
    "crop": ("crop/square",),
    "flip": ("flip/2x2", "flip/2x2-turned"),
}
MAX_SIDE = 640
DRAWS = 2
RIDGE = 0.02
NOTHING = 1e-6
"""Features whose deviation is below this do not tell candidates apart."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("src/spatial_ssrl/tasks/cues.json"))
    arguments = parser.parse_args()
    files = sorted(path for folder in arguments.photos for path in folder.iterdir())
    drawn = {name: [list(rows_of(name, half)) for half in read(files)] for names in KINDS.values() for name in names}
    weights = {}
    for kind, names in KINDS.items():
        halves = [fit([row for name in names for row in drawn[name][half]]) for half in (0, 1)]
        for name in names:
            report(name, [row @ halves[1 - half] for half in (0, 1) for row in drawn[name][half]])
        fitted = fit([row for name in names for half in drawn[name] for row in half])
        weights[kind] = {name: round(float(w), 4) for name, w in zip(FEATURES, fitted, strict=True) if w}
    arguments.out.write_text(json.dumps(weights, indent=1) + "\n", encoding="utf-8")


def report(name: str, scores: list[np.ndarray]) -> None:
    """Print how well these scores, the true candidate's first, solve a variant."""
    facts = {
        "accuracy": np.mean([np.argmax(row) == 0 for row in scores]),
        "chance": np.mean([1 / len(row) for row in scores]),
        "log_loss": np.mean([np.log(np.exp(row - row[0]).sum()) for row in scores]),
    }
    print(json.dumps({"variant": name, "rows": len(scores)} | {k: round(float(v), 3) for k, v in facts.items()}), flush=True)


def read(files: list[Path]) -> list[list[Scene]]:
    """The photographs, every second one in the other half."""
    return [[Scene(read_rgb(file)).fit(MAX_SIDE) for file in files[half::2]] for half in (0, 1)]


def rows_of(name: str, scenes: list[Scene]) -> Iterator[np.ndarray]:
    """Features of the candidates of decided draws that no cue was asked about, the true candidate first."""
    task_name, variant = name.split("/")
    task: Any = make_task(task_name, variant, "strict")
    of_draw = crop_features if task.name == "crop" else patch_features
    for scene in scenes:
        for k in range(DRAWS):
            found = of_draw(task, scene, generator("cues", scene.id, name, k))
            if found is not None:
                yield found


def patch_features(task: PatchTask[Any], scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    params = task.draw(scene, rng)
    margin = task.margin(scene, params)
    return features(*task.candidates(scene, params), task.grid) if margin.value >= margin.threshold else None


def crop_features(task: Crop, scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    frame, hole = task.draw_hole(scene.size, rng)
    boxes = task.draw_pool(scene.size, frame, hole, rng)[:OPTIONS]
    return features(*task.candidates(scene, frame, hole, boxes), (3, 3)) if len(boxes) == OPTIONS else None


def fit(rows: list[np.ndarray]) -> np.ndarray:
    """Weights of the softmax over candidates that gives the true ones the highest likelihood (conditional logit)."""
    stacked = np.concatenate([row - row.mean(axis=0) for row in rows])
    scale = stacked.std(axis=0)
    used = scale > NOTHING
    stacked, counts = stacked[:, used] / scale[used], np.array([len(row) for row in rows])
    starts = np.r_[0, np.cumsum(counts)[:-1]]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = stacked @ weights
        scores -= np.repeat(np.maximum.reduceat(scores, starts), counts)
        odds = np.exp(scores)
        totals = np.add.reduceat(odds, starts)
        slope = (odds / np.repeat(totals, counts)) @ stacked - stacked[starts].sum(axis=0)
        value = (np.log(totals) - scores[starts]).mean() + RIDGE * weights @ weights
        return float(value), slope / len(rows) + 2 * RIDGE * weights

    weights = np.zeros(len(scale))
    weights[used] = minimize(loss, np.zeros(used.sum()), jac=True, method="L-BFGS-B").x / scale[used]
    return weights


if __name__ == "__main__":
    main()
