"""Fit the weights of cheap cues, and print them for tasks/cues.py and tasks/markcues.py.

python bench/cues.py SOURCE... [--half 0]

Sources of photographs are for the cues of seams and layout, sources with depth for those of marks.
Every second scene is fitted on, and the others are tested on; --half 1 exchanges them. The cue's accuracy on rows
that are not balanced against it is printed beside chance.
"""

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.optimize import minimize

from spatial_ssrl.rng import generator
from spatial_ssrl.scene import Scene
from spatial_ssrl.sources import Source, open_source
from spatial_ssrl.tasks import Drop, make_task
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
MARK_KINDS = {
    "order3": ("depth/order3",),
    "order4": ("depth/order4",),
    "nearest": ("depth/nearest",),
    "farthest": ("depth/farthest",),
    "position": ("position/diagonal",),
    "distance": ("distance/pairs",),
}
MAX_SIDE = 640
DRAWS, MARK_DRAWS = 2, 10
RIDGE = 1e-3
NOTHING = 1e-6
"""Features whose deviation is below this do not tell candidates apart."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--half", type=int, default=0)
    arguments = parser.parse_args()
    scenes = [source.load(key).fit(MAX_SIDE) for source in map(open_all, arguments.sources) for key in source.list_keys()]
    fit_kinds(scenes[arguments.half :: 2], scenes[1 - arguments.half :: 2])


def open_all(text: str) -> Source:
    return open_source(text, 100, 0)


def fit_kinds(fitted: list[Scene], tested: list[Scene]) -> None:
    """Print the weights of the cues that these scenes can have, and the accuracy on other scenes."""
    for kind, variants in (MARK_KINDS if fitted[0].depth is not None else KINDS).items():
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
    of_draw = mark_features if task.needs_depth else crop_features if task.name == "crop" else patch_features
    for scene in scenes:
        for k in range(MARK_DRAWS if task.needs_depth else DRAWS):
            found = of_draw(task, scene, generator("cues", scene.id, name, k))
            if found is not None:
                yield found


def mark_features(task: Any, scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    params = task.draw(scene, rng)
    return None if isinstance(params, Drop) else task.candidates(scene, params)


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
