"""Fit the weights of the seam and layout cues on photographs, and print them for tasks/cues.py.

python bench/cues.py PHOTOS... [--half 0]

Every second file is fitted on, and the others are tested on; --half 1 exchanges them. The cue's accuracy on rows
that are not balanced against it is printed beside chance.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from spatial_ssrl.rng import generator
from spatial_ssrl.scene import Scene, read_rgb
from spatial_ssrl.tasks import make_task
from spatial_ssrl.tasks.crop import OPTIONS, Crop
from spatial_ssrl.tasks.cues import picture_features
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
RIDGE = 1e-3
NOTHING = 1e-6
"""Features whose deviation is below this do not tell candidates apart."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--half", type=int, default=0)
    arguments = parser.parse_args()
    files = sorted(path for folder in arguments.photos for path in folder.glob("*.jpg"))
    fitted, tested = ([Scene(read_rgb(f)).fit(MAX_SIDE) for f in files[h::2]] for h in (arguments.half, 1 - arguments.half))
    for kind, variants in KINDS.items():
        weights = fit([rows for name in variants for rows in features(name, fitted)])
        print(f'    "{kind}": ({", ".join(f"{w:.2f}" for w in weights)}),')
        for name in variants:
            rows = list(features(name, tested))
            solved = np.mean([np.argmax(row @ weights) == 0 for row in rows])
            chance = np.mean([1 / len(row) for row in rows])
            print(f"        # {name}: {solved:.3f} of {len(rows)}, chance {chance:.3f}")


def features(name: str, scenes: list[Scene]) -> Iterator[np.ndarray]:
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
    return picture_features(task.candidates(scene, params), task.grid) if margin.value >= margin.threshold else None


def crop_features(task: Crop, scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    frame, hole = task.draw_hole(scene.size, rng)
    pictures = task.candidates(scene, frame, hole, task.draw_pool(scene.size, frame, hole, rng)[:OPTIONS])
    return picture_features(pictures, (3, 3)) if len(pictures) == OPTIONS else None


def fit(rows: list[np.ndarray]) -> np.ndarray:
    """Weights of the softmax over candidates that gives the true ones the highest likelihood (conditional logit)."""
    scale = np.concatenate([row - row[0] for row in rows]).std(axis=0)
    used = scale > NOTHING
    centred = [(row - row[0])[:, used] / scale[used] for row in rows]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = RIDGE * len(rows) * weights @ weights, 2 * RIDGE * len(rows) * weights
        for row in centred:
            scores = np.exp(row @ weights)
            total += np.log(scores.sum())
            slope = slope + scores @ row / scores.sum()
        return total, slope

    weights = np.zeros(len(scale))
    weights[used] = minimize(loss, np.zeros(used.sum()), jac=True, method="L-BFGS-B").x / scale[used]
    return weights


if __name__ == "__main__":
    main()
