"""What to build: which rows in which shares, from which sources, split how. Written as TOML or flags."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from spatial_ssrl.config import load_config
from spatial_ssrl.errors import RecipeError
from spatial_ssrl.tasks import PROFILES, TASKS, make_task, offered

DEFAULT_PROFILE = "strict"
DEFAULT_ROWS = 2000


class Entry(BaseModel):
    """One variant of a task and its share of the rows: a count, or a weight over the sum of all weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    variant: str
    weight: float = Field(default=1.0, gt=0)
    count: int | None = Field(default=None, ge=1)
    """Rows of this variant; either all variants of a recipe have a count, or none has."""

    @property
    def share(self) -> float:
        return self.count or self.weight

    @property
    def name(self) -> str:
        return f"{self.task}/{self.variant}"


def all_variants(profile: str = DEFAULT_PROFILE) -> tuple[Entry, ...]:
    """Every variant that a profile offers; each task has the same share, and so has each variant within it."""
    return tuple(
        Entry(task=name, variant=variant, weight=1 / len(offered(name, profile)))
        for name in TASKS
        for variant in offered(name, profile)
    )


class Recipe(BaseModel):
    """The rows of a dataset, and nothing of how they are made: equal recipes give equal bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...] = Field(min_length=1)
    """SOURCE texts, see `spatial_ssrl.sources.open_source`."""
    seed: int = 0
    profile: str = DEFAULT_PROFILE
    max_side: int = Field(default=1024, ge=64)
    """Pictures are scaled down to this longer side, in pixels."""
    rows_per_scene: int = Field(default=100, ge=1)
    """At most this many rows of one variant from one scene."""
    rows_per_shard: int = Field(default=500, ge=1)
    splits: dict[str, float] = Field(default={"train": 0.8, "validation": 0.1, "test": 0.1}, min_length=1)
    """Shares of the scenes, and of the rows."""
    tasks: tuple[Entry, ...] = Field(default_factory=lambda given: all_variants(given["profile"]), min_length=1)
    n: int = Field(default_factory=lambda given: sum(entry.count or 0 for entry in given["tasks"]) or DEFAULT_ROWS, ge=1)
    """Rows in all splits together; the sum of the counts, or 2000. Another number scales the counts."""

    @field_validator("profile")
    @classmethod
    def _is_known(cls, profile: str) -> str:
        if profile not in PROFILES:
            raise RecipeError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
        return profile

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [entry.name for entry in self.tasks]
        for entry in self.tasks:
            make_task(entry.task, entry.variant, self.profile)
        if len(set(names)) < len(names):
            raise RecipeError(f"a variant is listed twice in {', '.join(names)}")
        uncounted = [entry.name for entry in self.tasks if entry.count is None]
        if 0 < len(uncounted) < len(names):
            raise RecipeError(f"give all variants a count, or none; without one: {', '.join(uncounted)}")
        if any(share <= 0 for share in self.splits.values()) or abs(sum(self.splits.values()) - 1) > 1e-6:
            raise RecipeError(f"splits are positive shares that sum to 1; got {self.splits}")
        if not all(name.isalnum() for name in self.splits):
            raise RecipeError(f"names of splits are letters and digits; got {', '.join(self.splits)}")
        return self

    @classmethod
    def create(cls, file: Path | None, flags: Mapping[str, Any]) -> Self:
        """A recipe from a TOML file, where given, with flags that are not None laid over it.

        Raises RecipeError with the key at fault.
        """
        return load_config(cls, file, flags)
