"""Fit the weights of the cheap cues that strict draws are balanced against, for tasks/cues.json.

python bench/cues.py SOURCE... [--only KIND...] [--out FILE]

Sources of photographs are for the cues of seams and layout, sources with depth for those of marks. A JSON line a
variant says how many rows, drawn but not balanced, the cue solves when it is fitted on every second scene and asked
about the others. The weights that are written are fitted on all; those of kinds that these scenes lack are kept.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from spatial_ssrl.rng import generator
from spatial_ssrl.scene import Scene
from spatial_ssrl.sources import open_source
from spatial_ssrl.tasks import Drop, make_task
from spatial_ssrl.tasks.crop import GRID, Crop
from spatial_ssrl.tasks.cues import CUE_SIDE, features, weights
from spatial_ssrl.tasks.patches import PatchTask

KINDS = {
    "row": ("shuffle/1x3", "shuffle/1x4"),
    "column": ("shuffle/3x1", "shuffle/4x1"),
    "square": ("shuffle/2x2", "shuffle/2x2-masked"),
    "crop pool": ("crop/square",),
    "crop": ("crop/square",),
    "flip": ("flip/2x2", "flip/2x2-turned"),
}
MARK_KINDS = {
    "order3": ("depth/order3",),
    "order4": ("depth/order4",),
    "nearest": ("depth/nearest",),
    "farthest": ("depth/farthest",),
    "distance": ("distance/pairs",),
}
MAX_SIDE = 640
DRAWS = dict.fromkeys(KINDS, 2) | {"crop": 12} | dict.fromkeys(MARK_KINDS, 10)
"""Draws from each scene."""
RIDGE = 0.01
NOTHING = 1e-6
"""Features whose deviation is below this do not tell candidates apart."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("src/spatial_ssrl/tasks/cues.json"))
    parser.add_argument("--only", nargs="*", help="kinds of cues to fit; all that these scenes can if not given")
    arguments = parser.parse_args()
    sources = [open_source(text, 100, 0) for text in arguments.sources]
    scenes = [source.load(key).fit(MAX_SIDE) for source in sources for key in source.list_keys()]
    kinds = KINDS if scenes[0].depth is None else MARK_KINDS
    for kind, names in ((k, n) for k, n in kinds.items() if not arguments.only or k in arguments.only):
        weights()[kind] = fit_kind(kind, names, scenes)  # the draws of later kinds use it
    rounded = {kind: np.trim_zeros(found.round(4), "b").tolist() for kind, found in weights().items()}
    lines = [f"{json.dumps(kind)}: {json.dumps(found)}" for kind, found in rounded.items()]
    arguments.out.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def fit_kind(kind: str, names: Sequence[str], scenes: list[Scene]) -> np.ndarray:
    """Weights of the cue for these variants; prints how well it does on scenes that it was not fitted on."""
    drawn = {name: [list(rows_of(kind, name, scenes[half::2])) for half in (0, 1)] for name in names}
    halves = [fit([row for name in names for row in drawn[name][half]]) for half in (0, 1)]
    for name in names:
        report(name, [row @ halves[1 - half] for half in (0, 1) for row in drawn[name][half]])
    return fit([row for name in names for half in drawn[name] for row in half])


def report(name: str, scores: list[np.ndarray]) -> None:
    """Print how well these scores, the true candidate's first, solve a variant."""
    facts = {
        "accuracy": np.mean([np.argmax(row) == 0 for row in scores]),
        "chance": np.mean([1 / len(row) for row in scores]),
        "log_loss": np.mean([np.log(np.exp(row - row[0]).sum()) for row in scores]),
    }
    print(json.dumps({"variant": name, "rows": len(scores)} | {k: round(float(v), 3) for k, v in facts.items()}), flush=True)


def rows_of(kind: str, name: str, scenes: list[Scene]) -> Iterator[np.ndarray]:
    """Features of the candidates of decided draws that no cue was asked about, the true candidate first."""
    task_name, variant = name.split("/")
    task: Any = make_task(task_name, variant, "strict")
    marked_or_cut = mark_features if task.needs_depth else patch_features
    of_draw: Any = {"crop pool": pool_features, "crop": crop_features}.get(kind, marked_or_cut)
    for scene in scenes:
        for k in range(DRAWS[kind]):
            found = of_draw(task, scene, generator("cues", scene.id, name, k))
            if found is not None:
                yield found


def mark_features(task: Any, scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    params = task.draw(scene, rng)
    return None if isinstance(params, Drop) else task.candidates(scene, params)


def patch_features(task: PatchTask[Any], scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    params = task.draw(scene, rng)
    if isinstance(params, Drop):
        return None
    margin = task.margin(scene, params)
    return features(*task.candidates(scene, params), task.grid) if margin.value >= margin.threshold else None


def pool_features(task: Crop, scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    frame, hole = task.draw_hole(scene.size, rng)
    boxes = task.draw_pool(scene.size, frame, hole, rng)
    parts = task.parts(scene, hole, boxes, CUE_SIDE)
    return features(*task.candidates(scene, frame, hole, parts), GRID) if len(parts) > 1 else None


def crop_features(task: Crop, scene: Scene, rng: np.random.Generator) -> np.ndarray | None:
    params = task.draw(scene, rng)
    return None if isinstance(params, Drop) else features(*task.filled(scene, params), GRID)


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
