"""Estimate against measurement on one GPU: memory and time of a training step, random weights at the real shapes.

    python bench/gpu.py --out gpu.json            # 3B, 4B and 7B; under 8 minutes
    python bench/gpu.py --out tiny.json --tiny    # on a CPU: whether the script runs

A step is what TRL computes between two generations: log-probabilities of the old policy and of the reference, loss,
backward, and AdamW; nothing is generated and nothing is downloaded. Each setting runs in a process of its own under a
time limit; one that fails is listed with its error, and the next one runs.

Needs torch with CUDA, transformers >= 5.9, and wheels that a machine may lack: trl==1.16.0, peft, accelerate, datasets,
pillow, numpy, pydantic, and bitsandbytes for the settings in 4 bits. `spatial_ssrl` is taken from this checkout.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
import warnings
from dataclasses import asdict, dataclass, replace
from math import isqrt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # so that asking for a GPU does not forbid to fork
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from spatial_ssrl import vlm

LIMIT_SECONDS = 60
"""Of one setting, building the model included."""
TOTAL_SECONDS = 400
"""No setting is begun later."""
TEXT_TOKENS = 120
"""Of a prompt, beside its pictures."""
RANK = 64
BITS_4 = "4bit"

TEXT: dict[str, dict[str, Any]] = {
    "qwen2.5-vl-3b": {"hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2}
    | {"intermediate_size": 11008, "vocab_size": 151936, "tie_word_embeddings": True},
    "qwen2.5-vl-7b": {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
    | {"intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False},
    "qwen3-vl-4b": {"hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8}
    | {"intermediate_size": 9728, "vocab_size": 151936, "tie_word_embeddings": True, "head_dim": 128},
}
VISION: dict[str, dict[str, Any]] = {
    "qwen2.5": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14},
    "qwen3": {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "patch_size": 16}
    | {"num_position_embeddings": 2304, "deepstack_visual_indexes": [5, 11, 17]},
}
"""As in the config.json of each model on the hub."""
TINY_TEXT: dict[str, Any] = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2}
TINY_TEXT |= {"intermediate_size": 512, "vocab_size": 1024, "head_dim": 32}
TINY_TEXT |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]}}
TINY_IDS = {"image_token_id": 1000, "video_token_id": 1001, "vision_start_token_id": 1002, "vision_end_token_id": 1003}


@dataclass(frozen=True)
class Setting:
    """A model, and what one step of its training computes."""

    model: str
    stage: str = "grpo"
    rank: int | None = RANK
    """Of LoRA; None where all weights are trained."""
    dtype: str = "bfloat16"
    """Of the weights; "4bit" where bitsandbytes stores them."""
    sequences: int = 1
    pictures: int = 1
    """Of each sequence."""
    pixels: int = 400_000
    """Of a picture."""
    reply: int = 1024
    checkpointing: bool = True
    layers: int | None = None
    """Layers of the text model and of the vision tower, where not all of them."""
    tiny: bool = False

    @property
    def name(self) -> str:
        """In one line."""
        weights = "full" if self.rank is None else "LoRA"
        kept = "" if self.checkpointing else ", no checkpointing"
        pictures = f"{self.pictures} x {self.pixels / 1e6:g} MP"
        return f"{self.model} {self.stage} {weights} {self.dtype}, {self.sequences} x ({pictures} + {self.reply}){kept}"

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a picture's visual tokens."""
        tokens = self.pixels // (2 * VISION[self.family]["patch_size"]) ** 2
        rows = isqrt(tokens)
        return rows, tokens // rows

    @property
    def family(self) -> str:
        """Of the vision tower."""
        return self.model.split("-")[0]

    @property
    def visual(self) -> int:
        """Visual tokens of a sequence."""
        return self.pictures * self.grid[0] * self.grid[1]

    @property
    def prompt(self) -> int:
        """Tokens; each picture stands between two of its own."""
        return TEXT_TOKENS + self.visual + 2 * self.pictures


LONG: dict[str, Any] = {"sequences": 4, "pictures": 5, "reply": 2048}
SFT: dict[str, Any] = {"stage": "sft", "rank": 128, "sequences": 4, "pixels": 262_144, "reply": 128}
SETTINGS = (
    Setting("qwen2.5-vl-3b"),
    Setting("qwen2.5-vl-3b", **LONG),
    Setting("qwen2.5-vl-3b", rank=None),
    Setting("qwen2.5-vl-3b", rank=None, dtype="float32", sequences=4),
    Setting("qwen2.5-vl-3b", checkpointing=False, **SFT),
    Setting("qwen2.5-vl-3b", dtype=BITS_4),
    Setting("qwen3-vl-4b", sequences=4),
    Setting("qwen3-vl-4b", checkpointing=False, **SFT),
    Setting("qwen3-vl-4b", dtype=BITS_4),
    Setting("qwen2.5-vl-7b"),
    Setting("qwen2.5-vl-7b", **LONG),
    Setting("qwen2.5-vl-7b", **SFT),
    Setting("qwen2.5-vl-7b", dtype=BITS_4),
)
"""On a GPU; full fine-tuning of 7B is sharded and fits no single one."""


def config_of(setting: Setting) -> Any:
    """The model's configuration, as on the hub."""
    import transformers

    text, vision = TEXT[setting.model], VISION[setting.family]
    if setting.tiny:
        text, vision = text | TINY_TEXT, vision | {"depth": 4, "hidden_size": 128, "intermediate_size": 256, "num_heads": 4}
    if setting.layers:
        text, vision = text | {"num_hidden_layers": setting.layers}, vision | {"depth": setting.layers}
    if "deepstack_visual_indexes" in vision and vision["depth"] < 18:
        vision = vision | {"deepstack_visual_indexes": [0, 1]}
    vision = vision | {"out_hidden_size": text["hidden_size"], "spatial_merge_size": 2}
    kind = transformers.Qwen2_5_VLConfig if setting.family == "qwen2.5" else transformers.Qwen3VLConfig
    ids = TINY_IDS if setting.tiny else {}
    return kind(text_config=text, vision_config=vision, tie_word_embeddings=text["tie_word_embeddings"], **ids)


def build_model(setting: Setting, trained: bool = True) -> Any:
    """The model with random weights, on torch's default device, with what TRL adds to it; or its frozen reference."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText
    from trl.trainer.utils import add_fused_lm_head

    dtype = torch.float32 if setting.dtype == "float32" else torch.bfloat16
    model = AutoModelForImageTextToText.from_config(config_of(setting), dtype=dtype)
    if not trained:
        add_fused_lm_head(model)
        return model.eval()
    if setting.dtype == BITS_4:
        to_4_bits(model)
    metrics = ("log_probs", "entropy") if setting.stage == "grpo" else ("log_probs", "entropy", "is_top1")
    add_fused_lm_head(model, outputs=metrics)
    if setting.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if setting.rank:
        lora = LoraConfig(r=setting.rank, lora_alpha=2 * setting.rank, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, lora)
        if setting.checkpointing:
            model.enable_input_require_grads()
    return model.train()


def to_4_bits(model: Any) -> None:
    """Store all linear layers but the last as transformers does when it loads a model in 4 bits."""
    import bitsandbytes as bnb
    import torch

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear) and child is not model.get_output_embeddings():
                options = {"compute_dtype": torch.bfloat16, "quant_type": "nf4", "compress_statistics": True}
                small = bnb.nn.Linear4bit(child.in_features, child.out_features, child.bias is not None, **options)
                small.weight = bnb.nn.Params4bit(child.weight.data, requires_grad=False, **options_of_weight())
                small.bias = child.bias
                setattr(parent, name, small.to(child.weight.device))
    model.is_loaded_in_4bit = True


def options_of_weight() -> dict[str, Any]:
    return {"quant_type": "nf4", "compress_statistics": True}


def make_inputs(setting: Setting, config: Any) -> dict[str, Any]:
    """A batch as the processor makes it; sequences differ in length, so that all but the first are padded."""
    import torch

    rows, columns = setting.grid
    one = [config.vision_start_token_id] + [config.image_token_id] * (rows * columns) + [config.vision_end_token_id]
    words = [11] * TEXT_TOKENS
    ids = torch.tensor([words + one * setting.pictures + [12] * setting.reply] * setting.sequences)
    attended = torch.ones_like(ids)
    for i in range(1, setting.sequences):
        attended[i, :i] = 0
    patch = config.vision_config.patch_size
    n = setting.sequences * setting.pictures
    return {
        "input_ids": ids,
        "attention_mask": attended,
        "mm_token_type_ids": (ids == config.image_token_id).int(),
        "pixel_values": torch.zeros(n * rows * columns * 4, 3 * 2 * patch**2),
        "image_grid_thw": torch.tensor([[1, 2 * rows, 2 * columns]] * n),
    }


class Step:
    """One optimizer step of a setting, as TRL 1.16 computes it after replies have been generated."""

    def __init__(self, setting: Setting, autocast: Any):
        import torch

        self.setting, self.autocast = setting, autocast
        self.model = build_model(setting)
        needs_reference = setting.stage == "grpo" and setting.rank is None
        self.reference = build_model(setting, trained=False) if needs_reference else None
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-6, fused=True)

    def log_probs(self, model: Any, inputs: dict[str, Any], entropies: bool = False) -> Any:
        """TRL's own method; it is given a model that already has the pictures, which it would slice by their values."""
        from trl import GRPOTrainer

        def with_pictures(**words: Any) -> Any:
            return model(**words, pixel_values=inputs["pixel_values"], image_grid_thw=inputs["image_grid_thw"])

        trainer = SimpleNamespace(accelerator=SimpleNamespace(autocast=self.autocast))
        method = GRPOTrainer._get_per_token_logps_and_entropies
        method = getattr(method, "__wrapped__", method)  # without its profiler, which wants a whole trainer
        words = {key: inputs[key] for key in ("input_ids", "attention_mask", "mm_token_type_ids")}
        reply = self.setting.reply
        return method(trainer, with_pictures, logits_to_keep=reply, compute_entropy=entropies, **words)[0]

    def before(self, inputs: dict[str, Any]) -> tuple[Any, Any]:
        """Log-probabilities of the old policy and of the reference."""
        import torch
        from trl.models.utils import disable_gradient_checkpointing
        from trl.trainer.utils import use_adapter

        with torch.no_grad(), disable_gradient_checkpointing(self.model, {"use_reentrant": False}):
            old = self.log_probs(self.model, inputs)
            if self.reference is not None:
                return old, self.log_probs(self.reference, inputs)
            with use_adapter(self.model, adapter_name=None):
                return old, self.log_probs(self.model, inputs)

    def loss(self, inputs: dict[str, Any], before: tuple[Any, Any] | None) -> Any:
        """Of a batch: the mean of its tokens, or GRPO's with its KL."""
        import torch

        if before is None:
            labels = inputs["input_ids"].clone()
            labels[:, : -self.setting.reply] = -100
            with self.autocast():
                return -self.model(**inputs, labels=labels, use_cache=False, fused_lm_head=True).log_probs.mean()
        old, reference = before
        now = self.log_probs(self.model, inputs, entropies=True)
        ratio = torch.exp(now - old)
        kl = torch.exp(reference - now) - (reference - now) - 1
        return (-torch.min(ratio, ratio.clamp(0.8, 1.2)) + 0.01 * kl).mean()

    def run(self, inputs: dict[str, Any]) -> None:
        """Everything that a batch needs but the optimizer; gradients are added to those that there are."""
        before = self.before(inputs) if self.setting.stage == "grpo" else None
        self.loss(inputs, before).backward()

    def update(self) -> None:
        """The optimizer; gradients are kept, as between the batches that an update accumulates."""
        import torch

        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()

    def make_moments(self) -> None:
        """The optimizer's state and all gradients, as after the first of several accumulated batches."""
        import torch

        for parameter in self.trained:
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()


def load_of(setting: Setting) -> Any:
    """The same step, as the estimate is asked about it."""
    vlm.prepare_torch()
    import torch
    from transformers import AutoModelForImageTextToText

    from spatial_ssrl.train.estimate import FOUR_BITS, Load
    from spatial_ssrl.train.plan import shape_from

    with torch.device("meta"):
        shape = shape_from(AutoModelForImageTextToText.from_config(config_of(setting)))
    grpo = setting.stage == "grpo"
    return Load(
        shape=shape,
        gpus=1,
        prompt=setting.prompt,
        reply=setting.reply,
        longest=setting.prompt + setting.reply,
        visual=setting.visual,
        mean_visual=setting.visual,
        longest_reply=setting.reply,
        sequences=setting.sequences,
        batch=setting.sequences,
        weight_bytes={"float32": 4.0, "bfloat16": 2.0, BITS_4: FOUR_BITS}[setting.dtype],
        rank=setting.rank,
        checkpointing=setting.checkpointing,
        generated=setting.sequences if grpo else 0,
        reuse=2.0 if grpo else 1.0,
        reference=grpo,
        vllm_share=0.0,
    )


def measure(setting: Setting) -> dict[str, Any]:
    """Bytes and seconds of a step on the GPU, or its seconds on a CPU."""
    import torch

    gpu = torch.cuda.is_available()
    device = "cuda" if gpu else "cpu"
    inputs = {key: value.to(device) for key, value in make_inputs(setting, config_of(setting)).items()}
    with torch.device(device):
        step = Step(setting, autocast=lambda: torch.autocast(device, torch.bfloat16))
        step.make_moments()
        step.run(inputs)  # the first step also compiles kernels
    step.update()
    if gpu:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    begun = time.perf_counter()
    step.run(inputs)
    step.update()
    if not gpu:
        return {"device": "cpu", "seconds": time.perf_counter() - begun}
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begun
    peak, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return {"device": torch.cuda.get_device_name(), "seconds": seconds, "peak": peak, "reserved": reserved}


def try_to_measure(setting: Setting, answer: Any) -> None:
    """In a process of its own: send what was measured, or the error."""
    try:
        found = measure(setting)
    except Exception as error:  # whatever it is, the next setting runs
        found = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    answer.send(found)


def measure_apart(setting: Setting, limit: float) -> dict[str, Any]:
    """Measure in a forked process, which has imported everything already, and end it at its limit."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=try_to_measure, args=(setting, theirs))
    process.start()
    theirs.close()
    try:
        found = ours.recv() if ours.poll(limit) else {"error": f"not done after {limit:.0f} s"}
    except EOFError:
        found = {"error": "its process ended without a word (killed for memory?)"}
    if process.is_alive():
        process.join(5)
    process.kill()
    process.join()
    return dict(found)


def compare(setting: Setting, found: dict[str, Any]) -> dict[str, Any]:
    """What was measured beside what was estimated."""
    load = load_of(setting)
    estimated = {
        "estimated": sum(load.memory().values()),
        "parts": load.memory(),
        "estimated_seconds": load.seconds()["training"],
    }
    return {"name": setting.name, "setting": asdict(setting), **estimated, **found}


def line(row: dict[str, Any]) -> str:
    """Of the table."""
    if "error" in row:
        return f"| {row['name']} | {row['estimated'] / 2**30:.1f} | failed: {row['error'][:90]} | | | |"
    memory = "| |"
    if "peak" in row:
        memory = f"{row['peak'] / 2**30:.1f} | {100 * (row['estimated'] / row['peak'] - 1):+.0f}% |"
    times = f"{row['estimated_seconds']:.2f} | {row['seconds']:.2f}"
    return f"| {row['name']} | {row['estimated'] / 2**30:.1f} | {memory} {times} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON of all rows; written after each of them.")
    parser.add_argument("--tiny", action="store_true", help="Tiny models, for a CPU; their memory says nothing.")
    given = parser.parse_args()
    settings = (
        [replace(s, tiny=True, pixels=20_000, reply=16, rank=s.rank and 4) for s in SETTINGS] if given.tiny else SETTINGS
    )
    slow = 10 if given.tiny else 1  # a CPU that others use, too
    warnings.simplefilter("ignore")
    vlm.prepare_torch()
    import accelerate
    import peft
    import torch
    import transformers
    import trl.trainer.grpo_trainer  # which each forked process would import

    versions = {module.__name__: module.__version__ for module in (torch, transformers, trl, peft, accelerate)}
    begun, rows = time.perf_counter(), []
    print(
        "| setting | GiB estimated | measured | off by | seconds estimated | measured |\n|---|---|---|---|---|---|",
        flush=True,
    )
    for setting in settings:
        late = time.perf_counter() - begun > TOTAL_SECONDS * slow
        found = {"error": "no time left"} if late else measure_apart(setting, LIMIT_SECONDS * slow)
        rows.append(compare(setting, found))
        print(line(rows[-1]), flush=True)
        given.out.write_text(json.dumps({"versions": versions, "rows": rows}, indent=1) + "\n")
    failed = sum("error" in row for row in rows)
    print(f"{len(rows) - failed} settings measured, {failed} failed, {time.perf_counter() - begun:.0f} s; wrote {given.out}")


if __name__ == "__main__":
    main()
