import os
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


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A Qwen2.5-VL with random weights; made beforehand for environments that cannot make it."""
    if made := os.environ.get("SPATIAL_SSRL_TINY_MODEL"):
        return Path(made)
    from spatial_ssrl.train.tiny import make_tiny

    out = tmp_path_factory.mktemp("tiny") / "model"
    make_tiny("qwen2_5_vl", ["text"], None, 0, out)
    return out
