"""What is learned? A tiny Qwen3-VL from random weights, all five tasks: cold start, then GRPO on paper or on strict rows.

    OMP_NUM_THREADS=1 python bench/learn.py FOLDER [--seeds 0 1 2]

The rows are those of one set of rendered rooms, the same for all seeds; a seed draws weights, order and replies. Every model
is asked the test rows of both profiles, greedily and sampled, and the questions of probe.py, which nothing is trained on.
What is done already in FOLDER is not done again. Writes docs/results/learning.md and learning.svg.
"""

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probe import KINDS, SIDE, probe_rows
from spatial_ssrl import vlm
from spatial_ssrl.build import Recipe, build
from spatial_ssrl.presets import shipped
from spatial_ssrl.reward import score
from spatial_ssrl.row import Row, read_rows
from spatial_ssrl.train import Preset, train

RESULTS = Path(__file__).parent.parent / "docs" / "results"
TASKS = {"shuffle": "2x2", "flip": "2x2", "crop": "square", "depth": "order3", "position": "diagonal"}
ROWS = {"paper": 5000, "strict": 600}
"""Rows to build; strict ones take a hundred times as long to find."""
ROOMS = {"paper": 1000, "strict": 600}
SPLITS = {"train": 0.7, "validation": 0.05, "test": 0.25}
"""One for both, so that no room is trained on in one profile and tested in the other."""
TESTED = {"paper": 100, "strict": 30}
"""Test rows of a task."""
PROBED = 60
"""Questions of a kind of the probe."""
TOKENS = 32
HOW = {"greedy": 0.0, "sampled": 1.0}


@dataclass(frozen=True)
class Arm:
    """A model: a stage of training on rows of a profile, from another arm's model or from random weights."""

    name: str
    stage: str
    profile: str
    start: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    """Of the shipped tiny preset."""


GRPO = {"max_steps": 60, "save_steps": 20}
ARMS = (
    Arm("cold start", "sft", "paper", changes={"max_steps": 900, "save_steps": 300}),
    Arm("GRPO, paper", "grpo", "paper", "cold start", GRPO),
    Arm("GRPO, strict", "grpo", "strict", "cold start", GRPO),
)
NAMES = ("base", *(arm.name for arm in ARMS))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    for profile in ROWS:
        make_rows(profile, given.folder / profile)
    questions = {"probe": [row for kind in KINDS for row in probe_rows(kind, PROBED)]}
    for profile in ROWS:
        questions[profile] = take(read_rows(given.folder / profile, "test"), TESTED[profile])
    for seed in given.seeds:
        run_seed(seed, given.folder, questions)
        write_results(
            [json.loads(p.read_text()) for s in given.seeds for p in sorted((given.folder / f"seed-{s}").glob("*.json"))]
        )


def make_rows(profile: str, out: Path) -> None:
    tasks = [{"task": task, "variant": variant} for task, variant in TASKS.items()]
    sources = (f"synthetic:{ROOMS[profile]}?size={SIDE}x{SIDE}",)
    flags = {"sources": sources, "profile": profile, "n": ROWS[profile], "tasks": tasks, "splits": SPLITS}
    build(Recipe.create(None, flags), out, os.cpu_count() or 1, "bench/learn.py", lambda done, total: None)


def take(rows: Iterable[Row], n: int) -> list[Row]:
    """The first n rows of each task."""
    taken: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if len(taken[row["task"]]) < n:
            taken[row["task"]].append(row)
    return [row for its in taken.values() for row in its]


def run_seed(seed: int, folder: Path, questions: dict[str, list[Row]]) -> None:
    """Train every arm and ask every model; SEED/NAME.json holds what came out."""
    out = folder / f"seed-{seed}"
    for arm in ARMS:
        began, spent = time.monotonic(), time.process_time()
        changes = {"seed": seed, "disable_tqdm": True, **arm.changes}
        flags: dict[str, Any] = {
            "trainer": changes,
            "dev": {"every": 20 if arm.stage == "grpo" else 150, "stop_accuracy": None},
        }
        if arm.start:
            flags["model"] = str(out / arm.start / "model")
        train(Preset.create(shipped(f"tiny-{arm.stage}"), flags), folder / arm.profile, out / arm.name)
        cost = {"wall": time.monotonic() - began, "cpu": time.process_time() - spent}
        if not arm.start:
            examine(seed, "base", out / arm.name / "base", questions, {"wall": 0.0, "cpu": 0.0}, [], out)
        log = json.loads((out / arm.name / "trainer_state.json").read_text())["log_history"]
        examine(seed, arm.name, out / arm.name / "model", questions, cost, log, out)


def examine(
    seed: int, name: str, path: Path, questions: dict[str, list[Row]], cost: dict[str, float], log: list[Any], out: Path
) -> None:
    """Ask one model everything, once."""
    import torch

    if (out / f"{name}.json").exists():
        return
    began = time.process_time()
    model, processor = vlm.load(path)
    torch.manual_seed(seed)
    tallies: dict[str, dict[str, list[float]]] = {}
    for (of, rows), (how, temperature) in ((q, h) for q in questions.items() for h in HOW.items()):
        if how == "sampled" and (of == "probe" or name == "base"):
            continue
        replies = vlm.generate(model, processor, rows, max_new_tokens=TOKENS, temperature=temperature)
        for reply, row in zip(replies, rows, strict=True):
            s = score(reply, row)
            tally = tallies.setdefault(f"{of}/{how}/{row['task']}", {"right": [], "unparsed": [], "chance": []})
            for key, value in (("right", s.accuracy), ("unparsed", s.parsed is None), ("chance", row["chance"])):
                tally[key].append(float(value))
    asked = time.process_time() - began
    sums = {key: {"n": len(t["right"]), **{k: sum(v) for k, v in t.items()}} for key, t in tallies.items()}
    result = {"seed": seed, "model": name, "cost": {**cost, "asking": asked}, "tallies": sums, "log": log}
    (out / f"{name}.json").write_text(json.dumps(result))
    print(
        json.dumps(
            {key: round(t["right"] / t["n"], 3) for key, t in sums.items()} | {"model": name, "cost": result["cost"]}
        ),
        flush=True,
    )


def write_results(results: list[dict[str, Any]]) -> None:
    print(len(results))


if __name__ == "__main__":
    main()
