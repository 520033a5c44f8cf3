"""What is learned? A tiny Qwen3-VL from random weights, all five tasks: cold start, then GRPO: paper, strict, curriculum.

    OMP_NUM_THREADS=1 python bench/learn.py FOLDER [--seeds 0 1 2]

The rows are the same for all seeds; a seed draws weights, order and replies. Every model
is asked the test rows of both profiles, greedily and sampled, and the questions of probe.py, which nothing is trained on.
What is done already in FOLDER is not done again. Writes docs/results/learning.md and learning.svg.
"""

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from probe import KINDS, SIDE, probe_rows
from spatial_ssrl import vlm
from spatial_ssrl.build import Recipe, build
from spatial_ssrl.presets import shipped
from spatial_ssrl.reward import score
from spatial_ssrl.row import Row, read_rows
from spatial_ssrl.statistics import wilson
from spatial_ssrl.train import Preset, train

RESULTS = Path(__file__).parent.parent / "docs" / "results"
TASKS = {"shuffle": "2x2", "flip": "2x2", "crop": "square", "depth": "order3", "position": "diagonal"}
SOURCES = {"paper": "synthetic:1400?size=112x112&style=plain", "strict": f"synthetic:600?size={SIDE}x{SIDE}"}
"""On varied rooms this model stays at chance, and plain ones hold no strict shuffle: each profile has rooms of its own."""
ROWS = {"paper": 7000, "strict": 600}
"""Rows to build; strict ones take a hundred times as long to find."""
SPLITS = {"train": 0.7, "validation": 0.05, "test": 0.25}
TESTED = {"paper": 80, "strict": 30}
"""Test rows of a task."""
PROBED = 40
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
    curriculum: bool = False
    """Rows are drawn from the training rooms while it trains, of the tasks that its groups still disagree on."""


GRPO = {"max_steps": 60, "save_steps": 20}
ARMS = (
    Arm("cold start", "sft", "paper", changes={"max_steps": 700, "save_steps": 175}),
    Arm("GRPO, paper", "grpo", "paper", "cold start", GRPO),
    Arm("GRPO, strict", "grpo", "strict", "cold start", GRPO),
    Arm("GRPO, curriculum", "grpo", "paper", "cold start", GRPO, curriculum=True),
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
        write_results([json.loads(path.read_text()) for path in sorted(given.folder.glob("seed-*/*.json"))])


def make_rows(profile: str, out: Path) -> None:
    flags = {**recipe(profile), "n": ROWS[profile]}
    build(Recipe.create(None, flags), out, os.cpu_count() or 1, "bench/learn.py", lambda done, total: None)


def recipe(profile: str) -> dict[str, Any]:
    tasks = [{"task": task, "variant": variant} for task, variant in TASKS.items()]
    return {"sources": (SOURCES[profile],), "profile": profile, "tasks": tasks, "splits": SPLITS}


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
            "dev": {"every": 10 if arm.stage == "grpo" else 175, "stop_accuracy": None},
        }
        if arm.start:
            flags["model"] = str(out / arm.start / "model")
        if arm.curriculum:
            flags |= {"stream": {**recipe(arm.profile), "seed": seed}, "curriculum": True}
        preset = Preset.create(shipped(f"tiny-{arm.stage}"), flags)
        train(preset, None if arm.curriculum else folder / arm.profile, out / arm.name)
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
    """The tables between the marks of learning.md, and the figure; what the file says beside them stays."""
    path = RESULTS / "learning.md"
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    seeds = sorted({r["seed"] for r in results})
    parts = [f"Seeds: {', '.join(map(str, seeds))}. CPU minutes of a seed: {costs(results)}.", ""]
    for of, title in TITLES.items():
        parts += [f"**{title}**", "", *table(of, results), ""]
    path.write_text(f"{before}{BEGIN}\n" + "\n".join(parts) + f"{END}{after}", encoding="utf-8")
    draw(results, RESULTS / "learning.svg")


def table(of: str, results: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each task or kind; rows of all seeds together, with Wilson's interval."""
    names = [name for name in NAMES if any(f"{of}/" in key for r in results if r["model"] == name for key in r["tallies"])]
    tasks = dict.fromkeys(key.split("/")[2] for r in results for key in r["tallies"] if key.startswith(f"{of}/"))
    lines = [f"| | chance | {' | '.join(names)} |", "|---|---:|" + "---|" * len(names)]
    for task in tasks:
        chance = pool([r["tallies"][key] for r in results if (key := f"{of}/{task}") in r["tallies"]])
        cells = [cell([r["tallies"][f"{of}/{task}"] for r in results if r["model"] == name]) for name in names]
        lines.append(f"| {task} | {100 * chance['chance'] / chance['n']:.1f} | {' | '.join(cells)} |")
    return lines


def pool(tallies: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: sum(t[key] for t in tallies) for key in ("n", "right", "unparsed", "chance")}


def cell(tallies: Sequence[dict[str, float]]) -> str:
    """Accuracy of all seeds' rows, its interval, and the share of unparsed replies where there are any."""
    sums = pool(tallies)
    low, high = wilson(sums["right"], int(sums["n"]))
    said = f"{100 * sums['right'] / sums['n']:.1f} [{100 * low:.0f}, {100 * high:.0f}]"
    return said + (f", {100 * sums['unparsed'] / sums['n']:.0f}% unparsed" if sums["unparsed"] else "")


def costs(results: Sequence[dict[str, Any]]) -> str:
    """Mean CPU minutes of each stage over the seeds, training and asking together."""
    each = {name: [r["cost"]["cpu"] + r["cost"]["asking"] for r in results if r["model"] == name] for name in NAMES}
    return ", ".join(f"{name} {fmean(seconds) / 60:.1f}" for name, seconds in each.items() if seconds)


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Development accuracy of each arm over its steps, and the rewards of GRPO; a line for each seed."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    keys = {"dev/accuracy": "greedy accuracy, development rows", "frac_reward_zero_std": "groups without variance"}
    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    for r in results:
        grpo = r["model"].startswith("GRPO")
        for axis, key in zip(axes[1:] if grpo else axes[:1], keys, strict=False):
            points = [(entry["step"], entry[key]) for entry in r["log"] if key in entry]
            if points:
                colour = f"C{NAMES.index(r['model'])}"
                axis.plot(
                    *zip(*points, strict=True), color=colour, label=r["model"] if r["seed"] == results[0]["seed"] else None
                )
    for axis, title in zip(
        axes, ("cold start: " + keys["dev/accuracy"], *("GRPO: " + said for said in keys.values())), strict=True
    ):
        axis.set(xlabel="step", ylim=(0, None))
        axis.set_title(title, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None})


BEGIN, END = "<!-- begin: written by bench/learn.py -->", "<!-- end -->"
TITLES = {
    "paper/greedy": "Held-out rows, profile paper, greedy",
    "paper/sampled": "Held-out rows, profile paper, sampled at temperature 1",
    "strict/greedy": "Held-out rows, profile strict, greedy",
    "strict/sampled": "Held-out rows, profile strict, sampled at temperature 1",
    "probe/greedy": "Questions never trained on, greedy",
}


if __name__ == "__main__":
    main()
