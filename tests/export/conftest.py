from pathlib import Path

import pytest

from spatial_ssrl.build import Recipe, build


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """A few rows of every task and variant."""
    recipe = Recipe(sources=("synthetic:24?size=320x240",), profile="paper", n=60)
    out = tmp_path_factory.mktemp("rows") / "data"
    build(recipe, out, 1, "test", lambda done, total: None)
    return out
