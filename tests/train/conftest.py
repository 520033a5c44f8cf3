import os
from pathlib import Path

import pytest

from spatial_ssrl.build import Recipe, build

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep the datasets that are mapped from disk out of the user's cache."""
    os.environ.setdefault("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("datasets")))


@pytest.fixture(scope="session")
def puzzles(tmp_path_factory) -> Path:
    """A few rows of two tasks, with one picture and with five."""
    recipe = Recipe(
        sources=("synthetic:12?size=112x112&style=plain",),
        profile="paper",
        n=36,
        tasks=({"task": "shuffle", "variant": "2x2"}, {"task": "crop", "variant": "square"}),
        splits={"train": 0.7, "validation": 0.3},
    )
    out = tmp_path_factory.mktemp("puzzles") / "data"
    build(recipe, out, 1, "test", lambda done, total: None)
    return out
