"""What is learned? A small Qwen3-VL from random weights, all five tasks: cold start, then GRPO: paper, strict, curriculum.

    OMP_NUM_THREADS=1 python bench/learn.py FOLDER [--seeds 0 1 2] [--source SOURCE...] [--size gpu]

On rendered rooms, or on the scenes of the sources, which need depth somewhere. The rows are the same for all seeds; a seed
draws weights, order and replies. Every model is asked the test rows of both profiles, greedily and sampled, and the
questions of probe.py, which nothing is trained on. What is done already in FOLDER, which is for one size and one choice
of sources, is not done again. Writes its part of docs/results/learning.md, and a figure.
"""

import argparse
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

from probe import KINDS, SIDE, probe_rows
from spatial_ssrl import vlm
from spatial_ssrl.build import Recipe, build
from spatial_ssrl.coldstart import cold_start_reply
from spatial_ssrl.presets import shipped
from spatial_ssrl.reward import score
from spatial_ssrl.row import Row, read_rows
from spatial_ssrl.statistics import wilson
from spatial_ssrl.train import Preset, train
from spatial_ssrl.train.tiny import SHARD, SIZES, make_tiny

RESULTS = Path(__file__).parent.parent / "docs" / "results"
TASKS = {"shuffle": "2x2", "flip": "2x2", "crop": "square", "depth": "order3", "position": "diagonal"}
PROFILES = ("paper", "strict")
SPLITS = {
    "rooms": {"train": 0.7, "validation": 0.05, "test": 0.25},
    "photographs": {"train": 0.6, "validation": 0.15, "test": 0.25},
}
"""Of few photographs more are for development, so that some have depth."""
TESTED = {"paper": 80, "strict": 30}
"""Test rows of a task."""
PROBED = 40
"""Questions of a kind of the probe."""
TOKENS = 32
HOW = {"greedy": 0.0, "sampled": 1.0}


@dataclass(frozen=True)
class Settings:
    """What a size of model is trained on, and how long."""

    rooms: dict[str, str]
    """The small model stays at chance on varied ones, and plain ones hold no strict shuffle: each profile has its own."""
    rows: dict[str, int]
    """Rows to build; strict ones take a hundred times as long to find."""
    max_side: int
    """Of photographs."""
    sft: dict[str, Any]
    """Of the trainer, over the shipped tiny preset."""
    grpo: dict[str, Any]
    asked: int
    """Questions at a time."""


SETTINGS = {
    "cpu": Settings(
        rooms={"paper": "synthetic:1400?size=112x112&style=plain", "strict": f"synthetic:600?size={SIDE}x{SIDE}"},
        rows={"paper": 7000, "strict": 600},
        max_side=SIDE,
        sft={"max_steps": 700, "save_steps": 175},
        grpo={"max_steps": 60, "save_steps": 20},
        asked=32,
    ),
    "gpu": Settings(
        rooms={"paper": "synthetic:4000?size=336x336&style=plain", "strict": "synthetic:1500?size=336x336"},
        rows={"paper": 20000, "strict": 1500},
        max_side=336,
        sft={
            "max_steps": 1000,
            "per_device_train_batch_size": 64,
            "learning_rate": 5e-4,
            "dataloader_num_workers": 8,
            "save_strategy": "no",
        },
        grpo={"max_steps": 40, "learning_rate": 1e-4, "save_strategy": "no"},
        asked=128,
    ),
}
"""The larger size is meant for ten minutes a seed on one H100, rows not counted, and keeps no state of its optimizer."""


@dataclass(frozen=True)
class Arm:
    """A model: a stage of training on rows of a profile, from another arm's model or from random weights."""

    name: str
    stage: str
    profile: str
    start: str = "cold start/model"
    curriculum: bool = False
    """Rows are drawn from the scenes of the profile's training rows, of the tasks that its groups still disagree on."""


ARMS = (
    Arm("cold start", "sft", "paper", "base"),
    Arm("GRPO, paper", "grpo", "paper"),
    Arm("GRPO, strict", "grpo", "strict"),
    Arm("GRPO, curriculum", "grpo", "paper", curriculum=True),
)
NAMES = ("base", *(arm.name for arm in ARMS))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--source", nargs="+", default=[])
    parser.add_argument("--size", choices=SIZES, default="cpu")
    given = parser.parse_args()
    bench = Bench(given.folder, given.size, tuple(given.source))
    bench.make_rows()
    for seed in given.seeds:
        bench.run_seed(seed)
        results = [json.loads(path.read_text()) for path in sorted(given.folder.glob("seed-*/*.json"))]
        write_results(bench.part, results, bench.questions)


@dataclass(frozen=True)
class Bench:
    """The rows and the models of one folder."""

    folder: Path
    size: str
    sources: tuple[str, ...]

    @property
    def settings(self) -> Settings:
        return SETTINGS[self.size]

    @property
    def scenes(self) -> str:
        return "photographs" if self.sources else "rooms"

    @property
    def part(self) -> str:
        """What its part of learning.md is called."""
        return self.scenes + ("" if self.size == "cpu" else f"-{self.size}")

    def recipe(self, profile: str) -> dict[str, Any]:
        tasks = [{"task": task, "variant": variant} for task, variant in TASKS.items()]
        recipe = {"profile": profile, "tasks": tasks, "splits": SPLITS[self.scenes]}
        if self.sources:
            return {**recipe, "sources": self.sources, "max_side": self.settings.max_side}
        return {**recipe, "sources": (self.settings.rooms[profile],)}

    def make_rows(self) -> None:
        for profile in PROFILES:
            flags = {**self.recipe(profile), "n": self.settings.rows[profile]}
            workers = os.cpu_count() or 1
            build(Recipe.create(None, flags), self.folder / profile, workers, "bench/learn.py", lambda done, total: None)

    @cached_property
    def questions(self) -> dict[str, list[Row]]:
        rows = {profile: take(read_rows(self.folder / profile, "test"), TESTED[profile]) for profile in PROFILES}
        return {**rows, "probe": [row for kind in KINDS for row in probe_rows(kind, PROBED)]}

    def run_seed(self, seed: int) -> None:
        """Train every arm and ask every model; SEED/NAME.json holds what came out."""
        out = self.folder / f"seed-{seed}"
        self.make_base(seed, out / "base")
        self.examine(seed, "base", out / "base", {"wall": 0.0, "cpu": 0.0}, [])
        for arm in ARMS:
            began, spent = time.monotonic(), time.process_time()
            train(self.preset(seed, arm, out), None if arm.curriculum else self.folder / arm.profile, out / arm.name)
            cost = {"wall": time.monotonic() - began, "cpu": time.process_time() - spent}
            divide(out / arm.name)
            log = json.loads((out / arm.name / "trainer_state.json").read_text())["log_history"]
            self.examine(seed, arm.name, out / arm.name / "model", cost, log)

    def make_base(self, seed: int, out: Path) -> None:
        """The random model; its tokenizer is fitted to training rows."""
        if not (out / "processor_config.json").exists():
            rows = islice(read_rows(self.folder / "paper", "train"), 2000)
            instruction = Preset.create(shipped("tiny-sft"), {}).instruction
            texts = (t for r in rows for t in (f"{r['problem']}\n{instruction}", cold_start_reply(r, "brief")))
            make_tiny("qwen3_vl", texts, None, seed, out, SIZES[self.size])

    def preset(self, seed: int, arm: Arm, out: Path) -> Preset:
        """The shipped tiny preset, longer. The seed is the trainer's alone: all seeds have the same scenes."""
        sft = arm.stage == "sft"
        trainer = {"seed": seed, "disable_tqdm": True, **(self.settings.sft if sft else self.settings.grpo)}
        dev = {"every": trainer["max_steps"] // (4 if sft else 6), "stop_accuracy": None}
        flags: dict[str, Any] = {"model": str(out / arm.start), "trainer": trainer, "dev": dev}
        if arm.curriculum:
            flags |= {"stream": self.recipe(arm.profile), "curriculum": True}
        return Preset.create(shipped(f"tiny-{arm.stage}"), flags)

    def examine(self, seed: int, name: str, path: Path, cost: dict[str, float], log: list[Any]) -> None:
        """Ask one model everything, once."""
        import torch

        out = self.folder / f"seed-{seed}" / f"{name}.json"
        if out.exists():
            return
        began = time.process_time()
        model, processor = vlm.load(path)
        torch.manual_seed(seed)
        tallies: dict[str, dict[str, float]] = {}
        replies: dict[str, list[str]] = {}
        for of, rows in self.questions.items():
            for how, temperature in HOW.items():
                said = vlm.generate(
                    model,
                    processor,
                    rows,
                    max_new_tokens=TOKENS,
                    batch_size=self.settings.asked,
                    temperature=temperature,
                )
                replies[f"{of}/{how}"] = list(said)
                tallies |= tally(f"{of}/{how}", replies[f"{of}/{how}"], rows)
        result = {"seed": seed, "model": name, "tallies": tallies, "log": log, "replies": replies}
        result["cost"] = {**cost, "asking": time.process_time() - began}
        out.write_text(json.dumps(result))
        print(json.dumps({key: round(t["right"] / t["n"], 3) for key, t in tallies.items()} | {"model": name}), flush=True)


def take(rows: Iterable[Row], n: int) -> list[Row]:
    """The first n rows of each task, in the order of TASKS."""
    taken: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if len(taken[row["task"]]) < n:
            taken[row["task"]].append(row)
    return [row for task in TASKS for row in taken[task]]


def divide(out: Path) -> None:
    """Save a large model in several files, and drop the weights from which it came."""
    whole = out / "model" / "model.safetensors"
    (out / "best.safetensors").unlink(missing_ok=True)
    if whole.exists() and whole.stat().st_size > int(SHARD.removesuffix("MB")) * 10**6:
        vlm.load(out / "model", "float32")[0].save_pretrained(out / "model", max_shard_size=SHARD)
        whole.unlink()


def tally(of: str, replies: Sequence[str], rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Sums over the replies to each task's rows, by of/task."""
    sums: dict[str, dict[str, float]] = {}
    for reply, row in zip(replies, rows, strict=True):
        s = score(reply, row)
        counts = {"n": 1, "right": s.accuracy, "unparsed": s.parsed is None, "formed": s.format, "chance": row["chance"]}
        its = sums.setdefault(f"{of}/{row['task']}", dict.fromkeys(counts, 0.0))
        for key, value in counts.items():
            its[key] += float(value)
    return sums


def write_results(part: str, results: list[dict[str, Any]], questions: dict[str, list[Row]]) -> None:
    """The tables between a part's marks in learning.md, and its figure; what the file says beside them stays."""
    path, begin, end = RESULTS / "learning.md", f"<!-- begin {part}: written by bench/learn.py -->", f"<!-- end {part} -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    seeds = sorted({r["seed"] for r in results})
    lines = [f"Seeds: {', '.join(map(str, seeds))}. CPU minutes of a seed: {costs(results)}.", ""]
    for of, title in TITLES.items():
        lines += [f"**{title}**", "", *table(of, results), ""]
    lines += ["**GRPO less the cold start, paper rows: points, and z of the two shares**", "", *gains(results), ""]
    lines += ["**Well-formed replies, %**", "", *forms(results), ""]
    lines += [f"**Commonest answer to paper rows, greedy, seed {seeds[0]}**", "", *habits(results, questions["paper"]), ""]
    path.write_text(f"{before}{begin}\n" + "\n".join(lines) + f"{end}{after}", encoding="utf-8")
    draw(results, RESULTS / f"learning-{part}.svg")


def table(of: str, results: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each task or kind; rows of all seeds together, with Wilson's interval."""
    tasks = dict.fromkeys(key.split("/")[2] for r in results for key in r["tallies"] if key.startswith(f"{of}/"))
    lines = [f"| | chance | {' | '.join(NAMES)} |", "|---|---:|" + "---|" * len(NAMES)]
    for task in tasks:
        chance = pool(results, f"{of}/{task}")
        cells = [cell(pool(results, f"{of}/{task}", name)) for name in NAMES]
        lines.append(f"| {task} | {100 * chance['chance'] / chance['n']:.1f} | {' | '.join(cells)} |")
    return lines


def pool(results: Sequence[dict[str, Any]], of: str, name: str | None = None) -> dict[str, float]:
    """Sums over the seeds of tallies whose key begins so, of one model or of all."""
    tallies = [
        t for r in results if name in (None, r["model"]) for key, t in r["tallies"].items() if f"{key}/".startswith(f"{of}/")
    ]
    return {key: sum(t[key] for t in tallies) for key in ("n", "right", "unparsed", "formed", "chance")}


def cell(sums: dict[str, float]) -> str:
    """Accuracy, its interval, and the share of unparsed replies where there are any."""
    if not sums["n"]:
        return ""
    low, high = wilson(sums["right"], int(sums["n"]))
    said = f"{100 * sums['right'] / sums['n']:.1f} [{100 * low:.0f}, {100 * high:.0f}]"
    return said + (f", {100 * sums['unparsed'] / sums['n']:.0f}% unparsed" if sums["unparsed"] else "")


def gains(results: Sequence[dict[str, Any]]) -> list[str]:
    """What each GRPO arm adds to the cold start; z leaves out that weights differ from seed to seed."""
    arms = [name for name in NAMES if name.startswith("GRPO")]
    lines = [f"| | {' | '.join(f'{arm}, {how}' for arm in arms for how in HOW)} |", "|---|" + "---|" * len(arms) * len(HOW)]
    for task in TASKS:
        pairs = [[pool(results, f"paper/{how}/{task}", name) for name in ("cold start", arm)] for arm in arms for how in HOW]
        lines.append(f"| {task} | {' | '.join(gain(*pair) if pair[1]['n'] else '' for pair in pairs)} |")
    return lines


def gain(before: dict[str, float], after: dict[str, float]) -> str:
    shares = [sums["right"] / sums["n"] for sums in (before, after)]
    both = (before["right"] + after["right"]) / (before["n"] + after["n"])
    deviation = sqrt(both * (1 - both) * (1 / before["n"] + 1 / after["n"]))
    difference = shares[1] - shares[0]
    return f"{100 * difference:+.1f} ({difference / deviation if deviation else 0:+.1f})"


def forms(results: Sequence[dict[str, Any]]) -> list[str]:
    """How many replies have the form that the reward wants: a thought and one box at the end."""
    lines = [f"| | {' | '.join(NAMES)} |", "|---|" + "---:|" * len(NAMES)]
    for of in TITLES:
        sums = [pool(results, of, name) for name in NAMES]
        shares = [f"{100 * its['formed'] / its['n']:.1f}" if its["n"] else "" for its in sums]
        lines.append(f"| {of.replace('/', ', ')} | {' | '.join(shares)} |")
    return lines


def habits(results: Sequence[dict[str, Any]], rows: Sequence[Row]) -> list[str]:
    """The answer that each model of the first seed gives most often to the rows of a task, and to how many of them."""
    first = min(r["seed"] for r in results)
    replies = {r["model"]: r["replies"]["paper/greedy"] for r in results if r["seed"] == first}
    names = [name for name in NAMES if name in replies]
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for task in TASKS:
        cells = [habit(zip(replies[name], rows, strict=True), task) for name in names]
        lines.append(f"| {task} | {' | '.join(cells)} |")
    return lines


def habit(replies: Iterable[tuple[str, Row]], task: str) -> str:
    answers = [score(reply, row).parsed or "unparsed" for reply, row in replies if row["task"] == task]
    if not answers:
        return ""
    (answer, n), *others = Counter(answers).most_common()
    return f"{answer}: {n} of {len(answers)}" + (f", {len(others)} others" if others else "")


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


TITLES = {
    "paper/greedy": "Held-out rows, profile paper, greedy",
    "paper/sampled": "Held-out rows, profile paper, sampled at temperature 1",
    "strict/greedy": "Held-out rows, profile strict, greedy",
    "strict/sampled": "Held-out rows, profile strict, sampled at temperature 1",
    "probe/greedy": "Questions never trained on, greedy",
    "probe/sampled": "Questions never trained on, sampled at temperature 1",
}


if __name__ == "__main__":
    main()
