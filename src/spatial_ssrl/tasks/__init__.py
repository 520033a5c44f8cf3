"""The pretext tasks. A new one is a file here and a line in TASKS; it inherits the contract tests."""

from dataclasses import replace
from typing import Any

from spatial_ssrl.errors import RecipeError
from spatial_ssrl.tasks.base import Drop, Margin, Params, Task
from spatial_ssrl.tasks.crop import Crop
from spatial_ssrl.tasks.depth import DepthOrder
from spatial_ssrl.tasks.distance import Distance
from spatial_ssrl.tasks.flip import Flip
from spatial_ssrl.tasks.patches import Disguise
from spatial_ssrl.tasks.position import Position
from spatial_ssrl.tasks.shuffle import Shuffle

__all__ = ["PROFILES", "TASKS", "Drop", "Margin", "Params", "Task", "make_task", "offered"]

TASKS: dict[str, type[Task[Any]]] = {task.name: task for task in (Shuffle, Flip, Crop, DepthOrder, Position, Distance)}

_APART = Disguise(erosion=0.08, zoom=0.85, gap=0.05, equalise=0.8)
_CLOSER = replace(_APART, erosion=0.06)

PROFILES: dict[str, dict[str, dict[str, Any] | None]] = {
    "paper": {},
    "strict": {
        "shuffle": {"disguise": _APART, "min_contour": 20.0, "min_difference": 30.0, "redraws": 4, "max_lift": 1.0},
        "shuffle/3x3": {"disguise": replace(_APART, erosion=0.05), "min_difference": 15.0},
        "shuffle/1x3": {"max_lift": 0.7},
        "shuffle/3x1": {"max_lift": 0.6},
        "shuffle/2x2": {"disguise": _CLOSER, "max_lift": 0.6},
        "crop": {
            "hole": 0.35,
            "inset": 0.6,
            "view": (0.62, 0.72),
            "zoom": 0.9,
            "equalise": 1.0,
            "min_difference": 35.0,
            "detail": 48,
            "redraws": 2,
            "max_lift": 1.1,
        },
        "depth": {
            "max_range": 0.15,
            "min_gap": 0.0,
            "min_ratio": 1.12,
            "min_sigmas": 4.0,
            "guard": 1.3,
            "min_rise": 0.03,
            "balanced": True,
            "redraws": 6,
            "max_lift": 0.5,
        },
        "depth/nearest": None,
        "depth/farthest": None,
        "position": {
            "min_pixels": 44.0,
            "min_depth": 0.055,
            "min_ratio": 1.15,
            "min_sigmas": 4.0,
            "min_angle": 25.0,
            "min_rise": 0.05,
            "balanced": True,
            "redraws": 6,
        },
        "position/single": None,
        "distance": {"compared": 240, "guard": 1.3, "spread": (0.7, 0.3), "redraws": 6, "max_lift": 0.6},
        "flip": {"disguise": _CLOSER, "min_contour": 20.0, "min_asymmetry": 40.0, "redraws": 4, "max_lift": 0.65},
        "flip/2x2-turned": {"disguise": _APART, "max_lift": 0.8},
    },
}
"""Per profile, the values by which the fields of a task, or of one of its variants, differ from their defaults.

None stands for a variant that the profile does not offer. Position in single directions: whether the markers
lie beside each other is plain to see, and with it three answers of four. The nearest or farthest of four marks: place
and look still told it more often than 15 points above chance.
"""


def offered(name: str, profile: str) -> dict[str, int]:
    """The variants of a task that a profile offers, and their levels."""
    return {v: level for v, level in TASKS[name].variants.items() if PROFILES[profile].get(f"{name}/{v}", {}) is not None}


def make_task(name: str, variant: str, profile: str) -> Task[Any]:
    """A task in one variant and profile. Raises RecipeError with what exists."""
    if name not in TASKS:
        raise RecipeError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
    if variant not in TASKS[name].variants:
        raise RecipeError(f"unknown variant {variant!r} of {name}; known: {', '.join(TASKS[name].variants)}")
    if profile not in PROFILES:
        raise RecipeError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    if variant not in offered(name, profile):
        raise RecipeError(
            f"profile {profile!r} does not offer {name}/{variant}; it does: {', '.join(offered(name, profile))}"
        )
    values = PROFILES[profile]
    return TASKS[name](variant, **{**(values.get(name) or {}), **(values.get(f"{name}/{variant}") or {})})
