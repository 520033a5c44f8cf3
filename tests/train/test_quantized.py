"""LoRA on a base of 4 bits: bitsandbytes computes it on a CPU, too, so a tiny model is trained in earnest."""

import importlib.util
import json
from itertools import islice

import pytest
import torch

from spatial_ssrl import vlm
from spatial_ssrl.errors import MissingExtraError, RecipeError
from spatial_ssrl.row import read_rows
from spatial_ssrl.train import train
from train.helpers import log_of, tiny_preset

HERE = importlib.util.find_spec("bitsandbytes") is not None
needs_bitsandbytes = pytest.mark.skipif(not HERE, reason="bitsandbytes is not installed")
LORA = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
BASE, RESULT = "base/model.safetensors", "model/model.safetensors"


def quantized(stage, **flags):
    return tiny_preset(stage, **{"quantize": "4bit", "dtype": "bfloat16", "lora": LORA, **flags})


@pytest.fixture(scope="module")
def sft(puzzles, tmp_path_factory):
    out = tmp_path_factory.mktemp("quantized") / "sft"
    train(quantized("sft", model="tiny:qwen2_5_vl", trainer={"learning_rate": 1e-2}), puzzles, out)
    return out


@needs_bitsandbytes
def test_the_linear_layers_are_rounded_to_four_bits(sft):
    model, _ = vlm.load(sft / "base", "bfloat16", quantize="4bit")
    layer = model.model.language_model.layers[0]
    assert layer.mlp.up_proj.weight.dtype == torch.uint8
    assert layer.mlp.up_proj.weight.quant_state.nested, "scales are quantized, too"
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16
    exact = vlm.load_model(sft / "base", "bfloat16").model.language_model.layers[0].mlp.up_proj
    x = torch.randn(2, exact.in_features, dtype=torch.bfloat16, generator=torch.Generator().manual_seed(0))
    error = (layer.mlp.up_proj(x) - exact(x)).abs().mean() / exact(x).abs().mean()
    assert 0.01 < error < 0.2, "near the exact layer, but not it"


@needs_bitsandbytes
def test_the_adapter_is_merged_into_the_base_as_it_was_before_rounding(sft):
    from safetensors.torch import load_file

    base, merged = (vlm.load_model(sft / name, "bfloat16").state_dict() for name in ("base", "model"))
    adapter = load_file(sft / "best.safetensors")
    assert base.keys() == merged.keys()
    for layer in ("model.language_model.layers.0.mlp.up_proj", "model.visual.blocks.0.attn.qkv"):
        a, b = (adapter[f"base_model.model.{layer}.lora_{half}.default.weight"] for half in "AB")
        scale = LORA["lora_alpha"] / LORA["r"]
        exact, found = (weights[f"{layer}.weight"].float() for weights in (base, merged))
        assert b.abs().max() > 0, "it was trained"
        torch.testing.assert_close(found, exact + scale * (b @ a).float(), atol=1e-3, rtol=2**-7)


@needs_bitsandbytes
def test_the_result_is_an_ordinary_model(sft, puzzles):
    config = json.loads((sft / "model" / "config.json").read_text())
    assert "quantization_config" not in json.dumps(config)
    assert {str(weight.dtype) for weight in vlm.load_model(sft / "model", "auto").state_dict().values()} == {
        "torch.bfloat16"
    }
    model, processor = vlm.load(sft / "model")
    rows = list(islice(read_rows(puzzles, "validation"), 2))
    assert len(list(vlm.generate(model, processor, rows, max_new_tokens=4))) == 2


@needs_bitsandbytes
def test_small_updates_are_not_lost(sft, puzzles, tmp_path):
    """Of a learning rate far below the step of bfloat16: the adapter is kept in float32."""
    from safetensors.torch import load_file

    train(quantized("sft", model=str(sft / "model"), trainer={"learning_rate": 1e-5}), puzzles, tmp_path / "run")
    adapter = load_file(next((tmp_path / "run").glob("checkpoint-*/adapter_model.safetensors")))
    assert {weight.dtype for weight in adapter.values()} == {torch.float32}


@needs_bitsandbytes
def test_a_killed_run_goes_on_as_it_was(puzzles, tmp_path):
    from safetensors.torch import load_file

    preset = quantized("sft", model="tiny:qwen2_5_vl", trainer={"max_steps": 4, "learning_rate": 1e-3})
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for out in (whole, cut):
        train(preset, puzzles, out)
    for name in ("trainer_state.json", "checkpoint-4/trainer_state.json"):
        (cut / name).unlink()  # as if it was killed after the second update
    train(preset, puzzles, cut)
    assert log_of(whole) == log_of(cut)
    base, once, resumed = (load_file(path) for path in (whole / BASE, whole / RESULT, cut / RESULT))
    assert all(torch.equal(once[name], resumed[name]) for name in once)
    assert any(not torch.equal(once[name], base[name].bfloat16()) for name in once)


@needs_bitsandbytes
def test_grpo_trains_on_four_bits(sft, puzzles, tmp_path, monkeypatch):
    """The reward is another one, since a model that was hardly trained earns none: the sum of a reply's characters."""
    from safetensors.torch import load_file

    def reward(completions, **columns):
        return [float(sum(map(ord, completion[0]["content"])) % 7) for completion in completions]

    monkeypatch.setattr("spatial_ssrl.train.grpo.telling_groups", lambda *_: reward)
    preset = quantized("grpo", model=str(sft / "model"), trainer={"beta": 0.01, "learning_rate": 1e-2})
    out = train(preset, puzzles, tmp_path / "run")
    before, after = (load_file(folder / "model.safetensors") for folder in (sft / "model", out))
    assert any(not torch.equal(after[name], before[name]) for name in before)
    assert all(torch.isfinite(weight).all() for weight in after.values())


@pytest.mark.parametrize(
    ("stage", "flags", "message"),
    [
        ("sft", {"lora": None}, r"quantize: weights of 4 bits cannot be trained, and there is no \[lora\]"),
        ("grpo", {"trainer": {"use_vllm": True}}, r"quantize: vLLM would generate with other weights"),
        ("sft", {"quantize": "8bit"}, r"quantize: Input should be '4bit'"),
    ],
)
def test_what_does_not_go_with_four_bits_is_said(stage, flags, message):
    with pytest.raises(RecipeError, match=message):
        quantized(stage, **flags)


@pytest.mark.skipif(HERE, reason="bitsandbytes is installed")
def test_bitsandbytes_is_missed_before_anything_is_begun(puzzles, tmp_path):
    with pytest.raises(MissingExtraError, match=r"bitsandbytes is not installed; .*spatial-ssrl\[quantize\]"):
        train(quantized("sft"), puzzles, tmp_path / "run")
    assert not (tmp_path / "run").exists()
