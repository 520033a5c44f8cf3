"""Does GRPO learn as much with vLLM in its process as without? A tiny Qwen3-VL from random weights, on a CPU, three seeds.

    .venv-vllm/bin/python bench/vllm_learns.py FOLDER [--seeds 0 1 2]

Shuffle 2x2 on plain rooms: a cold start, then GRPO from it twice, with vLLM and with transformers, which differ in
nothing else. Greedy accuracy on test rows of scenes that neither saw. What is done already in FOLDER is not done again.
Prints a table; ends with status 1 where the two are more than 5 points apart on average, or less than 15 above the start.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
os.environ |= {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}

from spatial_ssrl import vlm
from spatial_ssrl.build import Recipe, build
from spatial_ssrl.coldstart import cold_start_reply
from spatial_ssrl.presets import shipped
from spatial_ssrl.reward import score
from spatial_ssrl.row import read_rows
from spatial_ssrl.train import Preset, train
from spatial_ssrl.train.tiny import Size, make_tiny

SIZE = Size(hidden=64, heads=2, text_layers=2, vision_layers=4, side=112)
"""As the tiny models of the demo, with heads of 32, the least that vLLM's attention on a CPU takes."""
TEST_ROWS = 400
ARMS = ("transformers", "vllm")
APART, ABOVE = 5, 15
RECIPE = {
    "sources": ("synthetic?size=112x112&style=plain",),
    "n": 3000,
    "profile": "paper",
    "tasks": ({"task": "shuffle", "variant": "2x2"},),
    "splits": {"train": 0.75, "validation": 0.08, "test": 0.17},
}
VLLM = {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.1, "vllm_max_model_length": 1024}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run(arguments.folder, arguments.seeds[0], arguments.one)
        return 0
    data = arguments.folder / "data"
    build(Recipe.model_validate(RECIPE), data, 2, "bench/vllm_learns.py", lambda done, total: None)
    for seed in arguments.seeds:
        for stage in ("sft", *ARMS):
            # A process each: vLLM keeps its memory to the end of one
            words = [sys.executable, __file__, str(arguments.folder), "--seeds", str(seed), "--one", stage]
            subprocess.run(words, check=True)
    return report(arguments.folder, arguments.seeds)


def run(folder: Path, seed: int, stage: str) -> None:
    """Train one stage of one seed, and write the accuracy of its model beside it."""
    out = folder / f"seed-{seed}" / stage
    if (out / "accuracy.json").exists():
        return
    if stage == "vllm":
        from trl.generation import vllm_generation

        vllm_generation.LLM = functools.partial(vllm_generation.LLM, enforce_eager=True)
    train(preset(folder, seed, stage), folder / "data", out)
    (out / "accuracy.json").write_text(json.dumps(accuracy(out / "model", folder / "data")))


def preset(folder: Path, seed: int, stage: str) -> Preset:
    """The demo's presets."""
    trainer: dict[str, Any] = {"seed": seed, "disable_tqdm": True}
    if stage == "sft":
        base = folder / f"seed-{seed}" / "base"
        if not base.exists():
            rows = list(islice(read_rows(folder / "data", "train"), 1000))
            start = Preset.create(shipped("tiny-sft"), {})
            texts = [t for r in rows for t in (f"{r['problem']}\n{start.instruction}", cold_start_reply(r, start.reply))]
            make_tiny("qwen3_vl", texts, None, seed, base, SIZE)
        return Preset.create(shipped("tiny-sft"), {"model": str(base), "trainer": trainer})
    # At a constant rate accuracy jumps by 20 points from one measurement to the next, and would hide a difference
    trainer |= {"max_steps": 80, "lr_scheduler_type": "linear", "save_steps": 40}
    trainer |= VLLM if stage == "vllm" else {}
    model = str(folder / f"seed-{seed}" / "sft" / "model")
    return Preset.create(shipped("tiny-grpo"), {"model": model, "trainer": trainer, "dev": {"every": 20}})


def accuracy(model: Path, data: Path) -> float:
    """Greedy, on test rows, in %."""
    rows = list(islice(read_rows(data, "test"), TEST_ROWS))
    replies = vlm.generate(*vlm.load(model), rows, max_new_tokens=32)
    return 100 * fmean(score(reply, row).accuracy for reply, row in zip(replies, rows, strict=True))


def report(folder: Path, seeds: list[int]) -> int:
    """The table, and whether both learn alike."""
    found = {
        stage: [json.loads((folder / f"seed-{seed}" / stage / "accuracy.json").read_text()) for seed in seeds]
        for stage in ("sft", *ARMS)
    }
    print(f"| % of {TEST_ROWS} test rows | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean |")
    print("|---|" + "---:|" * (len(seeds) + 1))
    for stage, values in found.items():
        print(f"| {stage} | " + " | ".join(f"{value:.1f}" for value in values) + f" | {fmean(values):.1f} |")
    means = {stage: fmean(values) for stage, values in found.items()}
    apart = abs(means["vllm"] - means["transformers"])
    above = min(means[arm] for arm in ARMS) - means["sft"]
    print(f"apart by {apart:.1f} (at most {APART}), above the cold start by {above:.1f} (at least {ABOVE})")
    return int(apart > APART or above < ABOVE)


if __name__ == "__main__":
    sys.exit(main())
