"""The memory estimate of `--dry-run` against PyTorch's own memory tracker, at the models' real shapes, without a GPU.

    python bench/memory.py                    # about 20 minutes of one CPU core
    python bench/memory.py --only-estimate    # seconds: the estimate anew, beside what was tracked before

A training step runs on fake tensors, which have a shape and no values, while `MemTracker` adds up what would be
allocated. The model, PEFT, TRL's loss and its tiles of logits are the installed packages' own; what reads values of
tensors is replaced by what it gives for one fixed batch (class `Helpers`). Nothing is generated. Writes
docs/results/memory.json and its part of docs/results/memory.md.
"""

import argparse
import contextlib
import gc
import json
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"] = "1"  # its checks read values, and fake tensors have none
sys.path.insert(0, str(Path(__file__).parent))

from gpu import Setting, Step, config_of, load_of, make_inputs
from spatial_ssrl import vlm
from spatial_ssrl.train.estimate import GIB, PATCHES

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "memory"
BEGIN, END = "<!-- begin: written by bench/memory.py -->", "<!-- end -->"


def tracked(setting: Setting, whole: bool = False) -> tuple[int, dict[str, int]]:
    """Bytes at the peak of a step, by PyTorch's tracker, and what they are at that moment.

    GRPO's passes without a gradient, of the old policy and the reference, are part of a `whole` step alone.
    """
    vlm.prepare_torch()
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    real = make_inputs(setting, config_of(setting))
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    with Helpers(setting, real, fake).in_place(), fake:
        inputs = {key: fake.from_tensor(value) for key, value in real.items()}
        step = Step(setting, autocast=lambda: torch.autocast("cpu", torch.bfloat16))
        step.make_moments()
        tracker: Any = MemTracker()
        for hook in ("_pre_fw_hook", "_post_fw_hook", "_pre_bw_hook", "_post_bw_hook"):
            setattr(tracker, hook, lambda *_: None)  # the peaks of each module take most of its time, and are not read
        models = [model for model in (step.model, step.reference) if model is not None]
        skip_frozen(tracker, models)
        tracker.track_external(*models, step.optimizer, *inputs.values())
        with tracker:
            before = None
            if setting.stage == "grpo":
                nothing = torch.zeros(setting.sequences, setting.reply)
                before = step.before(inputs) if whole else (nothing, nothing)
            step.loss(inputs, before).backward()
            step.update()
    found = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]
    parts = {getattr(kind, "value", str(kind)): size for kind, size in found.items()}
    return parts.pop("Total"), parts


def skip_frozen(tracker: Any, models: list[Any]) -> None:
    """Have the tracker put no hooks on weights without a gradient, on which it fails."""
    nothing = SimpleNamespace(remove=lambda: None)
    for model in models:
        for parameter in model.parameters():
            if not parameter.requires_grad:
                tracker._param_to_grad_hook_handles[parameter] = (nothing, nothing)


class Helpers:
    """Functions that read values of tensors, replaced by what they give for one batch; what is allocated is the same."""

    def __init__(self, setting: Setting, real: dict[str, Any], fake: Any):
        import torch

        self.fake = fake
        self.grid = real["image_grid_thw"]
        self.patches = int(self.grid.prod(-1).sum())
        visual = real["input_ids"] == config_of(setting).image_token_id
        scored = torch.zeros_like(real["input_ids"][:, 1:])
        scored[:, -setting.reply :] = 1
        self.visual = fake.from_tensor(visual.flatten().nonzero()[:, 0])
        self.scored = fake.from_tensor(scored.flatten().nonzero()[:, 0])

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """They are replaced while it lasts."""
        with contextlib.ExitStack() as stack:
            for owner, name, value in (*self.of_vision(), *self.of_text(), *of_torch(), *of_triton()):
                stack.enter_context(patch.object(owner, name, value))
            yield

    def of_vision(self) -> Iterator[tuple[Any, str, Any]]:
        """Of the vision towers."""
        import torch
        from transformers import vision_utils
        from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen2_5
        from transformers.models.qwen3_vl import modeling_qwen3_vl as qwen3

        # One window around all patches: as many bytes as many small ones, in far fewer operations.
        # It is no tensor, since the attention asks it for its values.
        window = np.array([0, self.patches])
        weights = vision_utils.get_vision_interpolation_indices_and_weights
        for module in (qwen2_5, qwen3):
            yield module, "get_vision_position_ids", self.constant(vision_utils.get_vision_position_ids)
            yield module, "get_vision_attention_seqlens", lambda *_, **__: (window, self.patches)
        yield qwen2_5, "get_vision_window_index", lambda *_, **__: (torch.arange(self.patches // PATCHES), window)
        yield qwen3, "get_vision_interpolation_indices_and_weights", self.constant(weights)

    def constant(self, function: Any) -> Any:
        """The function, which is given the real grid, and whose result becomes a fake tensor."""
        from torch._subclasses.fake_tensor import unset_fake_temporarily

        def computed(_: Any, *args: Any, **kwargs: Any) -> Any:
            kwargs.pop("kwargs", None)
            with unset_fake_temporarily():
                found = function(self.grid, *args, **kwargs)
            if isinstance(found, tuple):
                return tuple(self.fake.from_tensor(value) for value in found)
            return self.fake.from_tensor(found)

        return computed

    def of_text(self) -> Iterator[tuple[Any, str, Any]]:
        """Where the text model takes in what the vision tower gives, and its head."""
        import trl.trainer.utils as trl_utils
        from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel
        from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLModel, Qwen3VLTextModel

        for kind in (Qwen2_5_VLModel, Qwen3VLModel):
            yield kind, "compute_3d_position_ids", positions
            yield kind, "get_placeholder_mask", placeholder_mask
            yield kind, "get_image_features", self.image_features()
        yield Qwen3VLTextModel, "_deepstack_process", self.deepstack()
        yield trl_utils, "_ChunkedLogProbFunction", SimpleNamespace(apply=self.scored_alone())

    def image_features(self) -> Any:
        """`get_image_features` without cutting them into pictures."""

        def features(model: Any, pixel_values: Any, *_: Any, **__: Any) -> Any:
            found = model.visual(pixel_values.type(model.visual.dtype), grid_thw=self.grid, return_dict=True)
            found.pooler_output = [found.pooler_output]
            if hasattr(found, "deepstack_features"):
                found.deepstack_features = [[feature] for feature in found.deepstack_features]
            return found

        return features

    def deepstack(self) -> Any:
        """`_deepstack_process` by the places of visual tokens instead of a mask."""

        def process(_: Any, hidden: Any, __: Any, embeds: Any) -> Any:
            hidden = hidden.clone()
            flat = hidden.view(-1, hidden.shape[-1])
            flat[self.visual] = flat[self.visual] + embeds.to(hidden.dtype)
            return hidden

        return process

    def scored_alone(self) -> Any:
        """TRL's head on the replies alone, as TRL has it on a GPU; on a CPU it scores prompts, too."""
        import trl.trainer.utils as trl_utils

        real = trl_utils._ChunkedLogProbFunction.apply

        def apply(hidden: Any, weight: Any, bias: Any, labels: Any, *rest: Any) -> Any:
            found = real(hidden[self.scored], weight, bias, labels[self.scored], *rest)
            n = len(labels)
            return tuple(x if x is None else x.new_zeros(n).index_put((self.scored,), x) for x in found)

        return apply


def positions(_: Any, input_ids: Any, **__: Any) -> Any:
    """Three position ids a token."""
    return input_ids.new_zeros(3, *input_ids.shape)


def placeholder_mask(model: Any, input_ids: Any, inputs_embeds: Any, **__: Any) -> tuple[Any, Any]:
    """Where pictures stand; without checking that there are as many features."""
    mask = (input_ids == model.config.image_token_id).unsqueeze(-1).expand_as(inputs_embeds)
    return mask, mask


def of_torch() -> Iterator[tuple[Any, str, Any]]:
    """Where torch on a CPU, or fake tensors, differ from torch on a GPU."""
    import torch

    class Scatter(torch.autograd.Function):
        """masked_scatter, whose own backward pass asks how many values there are."""

        @staticmethod
        def forward(ctx: Any, into: Any, mask: Any, source: Any) -> Any:
            ctx.save_for_backward(mask)
            ctx.shape = source.shape
            return into.clone()

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            (mask,) = ctx.saved_tensors
            return grads[0].masked_fill(mask, 0), None, grads[0].new_empty(ctx.shape)

    layer_norm = torch.nn.functional.layer_norm

    def float_layer_norm(value: Any, shape: Any, weight: Any, bias: Any, eps: float) -> Any:
        """Autocast computes it in float32 on a GPU, and not on a CPU."""
        return layer_norm(value.float(), shape, weight.float(), bias.float(), eps)

    yield torch.Tensor, "masked_scatter", lambda *values: Scatter.apply(*values)  # type: ignore[no-untyped-call]
    yield torch.nn.functional, "layer_norm", float_layer_norm
    yield torch.nn.Module, "to", lambda module, *_, **__: module  # PEFT moves what is there already, and fakes refuse


def of_triton() -> Iterator[tuple[Any, str, Any]]:
    """TRL's kernels, which work in place; its stand-ins for a CPU do not."""
    from trl.kernels import chunked_logprob

    for name in ("_forward_tile", "_backward_tile", "_addmm_fp32"):
        yield chunked_logprob, name, lambda *_, **__: None


FULL: dict[str, Any] = {"rank": None, "dtype": "float32"}


def sft_of(model: str, sequences: int, tokens: int, checkpointing: bool = True) -> Setting:
    """A cold start whose sequences have so many tokens."""
    setting = Setting(model, "sft", 128, sequences=sequences, pixels=262_144, checkpointing=checkpointing)
    setting = replace(setting, pictures=1 if tokens < 4096 else 8)
    return replace(setting, reply=tokens - setting.prompt)


def settings_of(model: str) -> list[Setting]:
    """Of one model."""
    return [
        Setting(model),
        Setting(model, sequences=4, pictures=5, reply=2048),
        Setting(model, **FULL),
        Setting(model, sequences=5, **FULL),
        sft_of(model, 4, 4096),
        sft_of(model, 4, 1024, checkpointing=False),
    ]


def all_settings() -> list[Setting]:
    """Of all three, and more of the smallest."""
    small = "qwen2.5-vl-3b"
    more = [
        Setting(small, checkpointing=False),
        Setting(small, sequences=4),
        Setting(small, rank=None),
        Setting(small, checkpointing=False, **FULL),
        sft_of(small, 1, 1024),
        sft_of(small, 4, 1024),
    ]
    return [setting for model in ("qwen2.5-vl-7b", "qwen3-vl-4b", "qwen2.5-vl-3b") for setting in settings_of(model)] + more


def row_of(setting: Setting, tracked_bytes: int, parts: dict[str, int], seconds: float) -> dict[str, Any]:
    """Tracked and estimated, of one setting."""
    estimated = load_of(setting).memory()
    return {
        "name": setting.name,
        "setting": asdict(setting),
        "tracked": tracked_bytes,
        "tracked_parts": parts,
        "seconds": seconds,
        "estimated": sum(estimated.values()),
        "estimated_parts": estimated,
    }


def track_all() -> Iterator[dict[str, Any]]:
    """Every setting, as it is done."""
    for setting in all_settings():
        begun = time.process_time()
        total, parts = tracked(setting)
        yield row_of(setting, total, parts, round(time.process_time() - begun))
        gc.collect()


def table(rows: list[dict[str, Any]]) -> list[str]:
    """In Markdown."""
    lines = ["| model and stage | weights | a device | checkpointing | GiB tracked | estimated | off by |"]
    lines.append("|---|---|---|---|---:|---:|---:|")
    for row in rows:
        setting = Setting(**row["setting"])
        pictures = f"{setting.pictures} x {setting.pixels / 1e6:.2f} MP"
        batch = f"{setting.sequences} x {setting.prompt + setting.reply:,} tokens ({pictures}, reply {setting.reply:,})"
        weights = f"all, {setting.dtype}" if setting.rank is None else f"LoRA {setting.rank}, {setting.dtype}"
        off = 100 * (row["estimated"] / row["tracked"] - 1)
        sizes = f"{row['tracked'] / GIB:.1f} | {row['estimated'] / GIB:.1f} | {off:+.1f}%"
        kept = "on" if setting.checkpointing else "off"
        lines.append(f"| {setting.model} {setting.stage} | {weights} | {batch} | {kept} | {sizes} |")
    return lines


def write_results(rows: list[dict[str, Any]]) -> None:
    """The rows, and the table between its marks; what the page says beside them stays."""
    RESULTS.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    page = RESULTS.with_suffix(".md")
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    worst = max(abs(row["estimated"] / row["tracked"] - 1) for row in rows)
    said = [f"{len(rows)} settings; the largest difference is {100 * worst:.1f}%.", ""]
    page.write_text(f"{before}{BEGIN}\n" + "\n".join([*said, *table(rows)]) + f"\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only-estimate", action="store_true", help="Keep what was tracked.")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    vlm.prepare_torch()
    if given.only_estimate:
        before = json.loads(RESULTS.with_suffix(".json").read_text(encoding="utf-8"))
        again: Iterable[dict[str, Any]] = (
            row_of(Setting(**r["setting"]), r["tracked"], r["tracked_parts"], r["seconds"]) for r in before
        )
    else:
        again = track_all()
    rows: list[dict[str, Any]] = []
    for row in again:
        rows.append(row)
        print(table([row])[-1], flush=True)
    write_results(rows)


if __name__ == "__main__":
    main()
