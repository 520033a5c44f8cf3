from itertools import islice

import pytest

from spatial_ssrl import vlm
from spatial_ssrl.row import read_rows
from spatial_ssrl.train import train
from spatial_ssrl.train.tiny import SIZES, make_tiny
from train.helpers import tiny_preset


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize(("size", "least", "most"), [("cpu", 0.4e6, 0.6e6), ("gpu", 20e6, 40e6)])
def test_sizes(kind, size, least, most, puzzles, tmp_path):
    make_tiny(kind, ["Which of them is it?"] * 50, None, 0, tmp_path, SIZES[size])
    model, processor = vlm.load(tmp_path)
    assert least < model.num_parameters() < most
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 16e6
    rows = list(islice(read_rows(puzzles, "validation"), 4))
    assert len(list(vlm.generate(model, processor, rows, max_new_tokens=2))) == 4


def test_the_larger_size_is_trained(puzzles, tmp_path):
    make_tiny("qwen3_vl", ["Which of them is it?"] * 50, None, 0, tmp_path / "base", SIZES["gpu"])
    preset = tiny_preset("sft", model=str(tmp_path / "base"), trainer={"max_steps": 1, "save_strategy": "no"})
    trained, _ = vlm.load(train(preset, puzzles, tmp_path / "run"))
    assert trained.config.text_config.hidden_size == SIZES["gpu"].hidden
