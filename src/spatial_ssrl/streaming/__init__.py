"""The same rows as `build` makes, without end and without files: drawn as training asks for them."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from spatial_ssrl.build import Plan, Recipe
from spatial_ssrl.streaming.endless import AHEAD, Chooser, Stream
from spatial_ssrl.streaming.environment import Environment

__all__ = ["Chooser", "Environment", "Stream", "stream"]


def stream(
    sources: str | Sequence[str],
    recipe: Recipe | str | Path | None = None,
    seed: int | None = None,
    *,
    split: str = "train",
    workers: int = 0,
    ahead: int = AHEAD,
    chooser: Chooser | None = None,
) -> Stream:
    """Rows of one split of the sources, without end.

    `recipe` is a Recipe or its TOML file; sources and seed here override its own, and its numbers of rows mean
    nothing, except that `n` is the number of rooms of a `synthetic` that names none. The split of a scene is
    that of `build`: what is held out of a dataset is held out of its stream. With `workers`, as many processes make
    rows up to `ahead` of their use. Raises SourceError or RecipeError.
    """
    flags = {"sources": (sources,) if isinstance(sources, str) else tuple(sources), "seed": seed}
    if isinstance(recipe, Recipe):
        given = recipe.model_dump(exclude_unset=True) | {key: value for key, value in flags.items() if value is not None}
        wanted = Recipe.create(None, given)
    else:
        wanted = Recipe.create(Path(recipe) if recipe else None, flags)
    _tell_torch()
    return Stream(Plan.create(wanted), split, workers, ahead, chooser)


def _tell_torch() -> None:
    """Have torch, where it is installed, take a Stream for the IterableDataset that it is."""
    if importlib.util.find_spec("torch"):
        from torch.utils.data import IterableDataset

        IterableDataset.register(Stream)
