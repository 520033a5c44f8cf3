"""One row from one scene, or the reason why there is none."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from spatial_ssrl.rng import generator
from spatial_ssrl.row import Image, Row, row_id
from spatial_ssrl.scene import RGB, Scene, encode_jpeg
from spatial_ssrl.tasks import Drop, Margin, Params, Task


def draw_row(scene: Scene, task: Task[Any], profile: str, seed: int, split: str, k: int, unique: bool = True) -> Row | Drop:
    """The k-th row of a task's variant from a scene; it depends on these arguments alone.

    With `unique` a puzzle that an earlier row of the scene has asked is dropped, at the price of k more draws.
    """
    key = (seed, split, profile, task.name, task.variant, scene.id)
    drawn = _draw(scene, task, generator(*key, k))
    if isinstance(drawn, Drop):
        return drawn
    params, margin = drawn
    if unique and task.few_puzzles and _is_repeat(params, scene, task, [generator(*key, j) for j in range(k)]):
        return Drop("puzzle already asked")
    identity = row_id(seed, split, profile, task.name, task.variant, scene.id, k)
    options = task.options(params)
    return Row(
        id=identity,
        task=task.name,
        variant=task.variant,
        profile=profile,
        level=task.level,
        problem=task.question(params),
        answer=task.answer(params),
        grammar=task.grammar(params).spec,
        images=[_encode(rgb, f"{identity}-{i}.jpg") for i, rgb in enumerate(task.render(scene, params))],
        options=None if options is None else list(options),
        chance=task.chance(params),
        margin=margin.value,
        margin_threshold=margin.threshold,
        scene_id=scene.id,
        source=":".join(scene.origin),
        split=split,
        params=params.to_json(),
    )


def _draw(scene: Scene, task: Task[Any], rng: np.random.Generator) -> tuple[Params, Margin] | Drop:
    """The first of a few draws that is decided and that no cue gives away, or why the last one is not.

    A draw whose cue is above max_lift is kept with probability (max_lift / cue) ** thinning: the answers of the rows
    that are kept are then spread evenly over what the cue believes, even where it is right more often than it says. One
    number decides for all redraws, since each new one would be a new chance for a draw that is given away.
    """
    drop, balanced = Drop("never drawn"), task.max_lift < math.inf
    luck = 1.0 - rng.random() if balanced else 0.0
    for redraw in range(1 + task.redraws):
        params = task.draw(scene, rng)
        if isinstance(params, Drop):
            drop = replace(params, final=params.final and not redraw)
            if params.final:
                break
        elif (margin := task.margin(scene, params)).value < margin.threshold:
            drop = Drop("margin below threshold")
        elif balanced and (excess := luck * (task.cue(scene, params) / task.max_lift) ** task.thinning) > 1:
            drop = Drop("given away by a cue")
            if excess > task.hopeless:
                break
        else:
            return params, margin
    return drop


def _is_repeat(params: Params, scene: Scene, task: Task[Any], earlier: list[np.random.Generator]) -> bool:
    """Whether one of these earlier draws gave the same puzzle in other words; drawn again, so no state is kept."""
    draws = (task.draw(scene, rng) for rng in earlier)
    return any(isinstance(draw, Params) and replace(draw, wording=params.wording) == params for draw in draws)


def _encode(rgb: RGB, path: str) -> Image:
    return Image(bytes=encode_jpeg(rgb), path=path)
