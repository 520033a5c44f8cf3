"""One row from one scene, or the reason why there is none."""

from dataclasses import replace
from typing import Any

import numpy as np

from spatial_ssrl.rng import generator
from spatial_ssrl.row import Image, Row, row_id
from spatial_ssrl.scene import RGB, Scene, encode_jpeg
from spatial_ssrl.tasks import Drop, Params, Task


def draw_row(scene: Scene, task: Task[Any], profile: str, seed: int, split: str, k: int) -> Row | Drop:
    """The k-th row of a task's variant from a scene; it depends on these arguments alone."""
    params = _draw(scene, task, profile, seed, split, k)
    if isinstance(params, Drop):
        return params
    if task.few_puzzles and _is_repeat(params, scene, task, profile, seed, split, k):
        return Drop("puzzle already asked")
    margin = task.margin(scene, params)
    if margin.value < margin.threshold:
        return Drop("margin below threshold")
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


def _draw(scene: Scene, task: Task[Any], profile: str, seed: int, split: str, k: int) -> Params | Drop:
    drawn: Params | Drop = task.draw(scene, generator(seed, split, profile, task.name, task.variant, scene.id, k))
    return drawn


def _is_repeat(params: Params, scene: Scene, task: Task[Any], profile: str, seed: int, split: str, k: int) -> bool:
    """Whether an earlier k gave the same puzzle in other words; drawn again, so no state is kept."""
    earlier = (_draw(scene, task, profile, seed, split, j) for j in range(k))
    return any(isinstance(e, Params) and replace(e, wording=params.wording) == params for e in earlier)


def _encode(rgb: RGB, path: str) -> Image:
    return Image(bytes=encode_jpeg(np.ascontiguousarray(rgb)), path=path)
