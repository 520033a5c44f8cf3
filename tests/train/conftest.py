from pathlib import Path

import pytest

from spatial_ssrl.build import Recipe, build
from spatial_ssrl.train import train
from train.helpers import tiny_preset


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


@pytest.fixture(scope="session")
def cold_start(puzzles, tmp_path_factory):
    """A full fine-tuning of a tiny Qwen3-VL, four steps, checkpoints after two and four."""
    out = tmp_path_factory.mktemp("sft")
    train(tiny_preset("sft", trainer={"max_steps": 4}), puzzles, out)
    return out
