"""The memory estimate against PyTorch's tracker, at the real widths and two layers; all layers are for bench/memory.py."""

import sys
from pathlib import Path

import pytest

from spatial_ssrl.train.estimate import FOUR_BITS, Load
from spatial_ssrl.train.preset import Preset

ROOT = Path(__file__).parents[2]
BATCH = {"layers": 2, "sequences": 8, "pictures": 2}
"""Of which activations are most."""


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:.*target_modules.*:UserWarning")
@pytest.mark.parametrize(
    "changes",
    [
        {"model": "qwen2.5-vl-3b"},
        {"model": "qwen3-vl-4b", "checkpointing": False},
        {"model": "qwen2.5-vl-7b", "rank": None, "dtype": "float32", "stage": "sft"},
    ],
    ids=lambda changes: changes["model"],
)
def test_a_step_takes_as_much_memory_as_estimated(changes, monkeypatch):
    monkeypatch.setenv("TRANSFORMERS_DISABLE_TORCH_CHECK", "1")
    monkeypatch.setattr(sys, "path", [str(ROOT / "bench"), *sys.path])
    from gpu import Setting, load_of
    from memory import tracked

    setting = Setting(**BATCH | changes)
    assert sum(load_of(setting).memory().values()) == pytest.approx(tracked(setting)[0], rel=0.15)


def load(name, **changes):
    """One sequence of 1,000 tokens of a model, LoRA, on one GPU."""
    shape = Preset.create(ROOT / "recipes" / "train" / "paper" / f"{name}-sft.toml", {}).shape
    lengths = {"prompt": 800.0, "reply": 200.0, "longest": 1000, "visual": 600, "mean_visual": 600.0, "longest_reply": 200}
    few = {"sequences": 1, "batch": 8, "weight_bytes": 2.0, "rank": 64}
    return Load(shape, **{"gpus": 1} | lengths | few | changes)


def test_four_bits_store_the_linear_layers_alone():
    shape = load("qwen2.5-vl-7b").shape
    others = shape.parameters - shape.linear_parameters
    assert (
        load("qwen2.5-vl-7b", weight_bytes=FOUR_BITS).memory()["weights"] == FOUR_BITS * shape.linear_parameters + 2 * others
    )


def test_vllm_needs_room_for_its_weights_and_one_sequence():
    gpu = 80e9
    asleep = {"generated": 8, "vllm_sleeps": True}
    assert load("qwen2.5-vl-7b", vllm_share=0.3, **asleep).fits(gpu)
    assert not load("qwen2.5-vl-7b", vllm_share=0.2, **asleep).fits(gpu), "16 GB do not hold 16.6"
    assert load("qwen2.5-vl-7b", vllm_share=0.2, **asleep).fits(2 * gpu), "a share of a larger GPU is more"
    long = load("qwen2.5-vl-7b", vllm_share=0.3, vllm_longest=10**6, **asleep)
    assert not long.fits(gpu), "vLLM must hold the longest sequence that it may be asked for"


def test_vllm_asleep_leaves_its_share_to_the_step():
    many = {"generated": 8, "sequences": 8, "vllm_share": 0.3, "checkpointing": False}
    awake, asleep = (load("qwen2.5-vl-3b", vllm_sleeps=sleeps, **many).memory() for sleeps in (False, True))
    assert awake["vLLM"] == 0.3 * 80e9
    assert "vLLM" not in asleep, "the step takes more than the share"
    assert awake["activations"] == asleep["activations"]
    small = load("qwen2.5-vl-3b", generated=8, vllm_share=0.3, vllm_sleeps=True).memory()
    assert small["vLLM"] == 0.3 * 80e9, "while it generates"
    assert "activations" not in small
