"""The curriculum against the recipe's shares, at equal rollouts: tiny model, rendered rooms, 3 seeds, CPU.

    OMP_NUM_THREADS=1 python bench/curriculum.py [FOLDER]

All runs of GRPO start from one cold start. A seed is that of the rooms, of the puzzles and of the sampling; its two
runs differ in the curriculum alone. Prints a JSON line a model and writes docs/results/curriculum.md. What is done
already in FOLDER is not done again.
"""

import json
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any

from spatial_ssrl import stream, vlm
from spatial_ssrl.build import Recipe, build
from spatial_ssrl.presets import shipped
from spatial_ssrl.reward import score
from spatial_ssrl.row import Row
from spatial_ssrl.statistics import wilson
from spatial_ssrl.train import Preset, train

SEEDS = (1, 2, 3)
STEPS = 40
TEST_ROWS = 360
RESULTS = Path(__file__).parent.parent / "docs" / "results" / "curriculum.md"
VARIANTS = ("shuffle/1x3", "shuffle/3x1", "shuffle/2x2", "shuffle/3x3", "flip/2x2", "flip/2x2-turned")
WEIGHTS = {"shuffle": 1.0, "flip": 2.0}
"""By which both tasks have the same share."""
RECIPE: dict[str, Any] = {
    "sources": ["synthetic:600?size=112x112&style=plain"],
    "profile": "paper",
    "tasks": [
        {"task": task, "variant": variant, "weight": WEIGHTS[task]}
        for task, _, variant in (v.partition("/") for v in VARIANTS)
    ],
}
ARMS = {"recipe's shares": False, "curriculum": True}


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="curriculum-"))
    started = time.monotonic()
    rows = list(islice(stream(RECIPE["sources"], Recipe(**RECIPE), seed=99, split="test"), TEST_ROWS))
    start = cold_start(folder)
    results = [report("cold start", None, start, rows, None)]
    for seed in SEEDS:
        for arm, curriculum in ARMS.items():
            out = folder / f"{arm.split()[-1]}-{seed}"
            results.append(report(arm, seed, grpo(start, seed, curriculum, out), rows, out))
    write_table(results, time.monotonic() - started)


def cold_start(folder: Path) -> Path:
    build(Recipe(**RECIPE, n=3000, splits={"train": 0.95, "validation": 0.05}), folder / "data", 1, "", lambda *_: None)
    return train(Preset.create(shipped("tiny-sft"), {"trainer": {"disable_tqdm": True}}), folder / "data", folder / "sft")


def grpo(start: Path, seed: int, curriculum: bool, out: Path) -> Path:
    trainer = {"max_steps": STEPS, "seed": seed, "logging_steps": 1, "save_steps": 20, "disable_tqdm": True}
    flags = {"model": str(start), "stream": {**RECIPE, "seed": seed}, "curriculum": curriculum, "trainer": trainer}
    preset = Preset.create(shipped("tiny-grpo"), flags).model_copy(update={"dev": None})
    return train(preset, None, out)


def report(arm: str, seed: int | None, path: Path, rows: list[Row], run: Path | None) -> dict[str, Any]:
    """Accuracy of a model on the test rows, and what its run logged; printed as a JSON line."""
    import torch

    model, processor = vlm.load(path)
    torch.manual_seed(0)
    right = {}
    for how in ("greedy", "sampled"):
        replies = vlm.generate(model, processor, rows, max_new_tokens=32, temperature=float(how == "sampled"))
        right[how] = [score(reply, row).accuracy for reply, row in zip(replies, rows, strict=True)]
    by_variant = {
        name: mean(a for a, row in zip(right["greedy"], rows, strict=True) if f"{row['task']}/{row['variant']}" == name)
        for name in VARIANTS
    }
    accuracies = {how: mean(of) for how, of in right.items()}
    result = {"arm": arm, "seed": seed, **accuracies, "by_variant": by_variant, **(logged(run) if run else {})}
    print(json.dumps(result), flush=True)
    return result


def logged(run: Path) -> dict[str, Any]:
    """The share of groups without variance over all updates and over the last ten, and the last weights."""
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    entries = [entry for entry in history if "frac_reward_zero_std" in entry]
    still = [entry["frac_reward_zero_std"] for entry in entries]
    weights = {k.removeprefix("curriculum/weight/"): v for k, v in entries[-1].items() if k.startswith("curriculum/weight")}
    return {"zero_variance": mean(still), "zero_variance_last_10": mean(still[-10:]), "weights": weights}


def write_table(results: list[dict[str, Any]], seconds: float) -> None:
    start, runs = results[0], results[1:]
    low, high = wilson(start["greedy"] * TEST_ROWS, TEST_ROWS)
    lines = [
        "# The curriculum against the recipe's shares",
        "",
        "    OMP_NUM_THREADS=1 python bench/curriculum.py",
        "",
        f"Accuracy (%) on {TEST_ROWS} held-out rows of all variants, both tasks in even shares, after {STEPS} updates of",
        f"16 rows x 8 replies. All runs start from one cold start: {100 * start['greedy']:.1f} greedy"
        f" [{100 * low:.1f}, {100 * high:.1f}], {100 * start['sampled']:.1f} sampled. {seconds / 60:.0f} minutes in all.",
        "Groups without variance are TRL's `frac_reward_zero_std`, of the whole reward.",
        "",
        "| seed | rows by | groups without variance | of the last 10 updates | greedy | sampled | "
        + " | ".join(VARIANTS)
        + " |",
        "|---|---|---|---|---|---|" + "---|" * len(VARIANTS),
    ]
    for r in runs:
        figures = [r["zero_variance"], r["zero_variance_last_10"], r["greedy"], r["sampled"], *r["by_variant"].values()]
        lines.append(f"| {r['seed']} | {r['arm']} | " + " | ".join(f"{100 * f:.1f}" for f in figures) + " |")
    for arm in ARMS:
        of = [r for r in runs if r["arm"] == arm]
        figures = [mean(r[key] for r in of) for key in ("zero_variance", "zero_variance_last_10", "greedy", "sampled")]
        figures += [mean(r["by_variant"][name] for r in of) for name in VARIANTS]
        lines.append(f"| mean | {arm} | " + " | ".join(f"{100 * f:.1f}" for f in figures) + " |")
    RESULTS.write_text("\n".join([*lines, "", *NOTES, ""]), encoding="utf-8")


NOTES = (
    "With the curriculum fewer groups were without variance on every seed. Greedy accuracy was higher on every seed, on",
    "the third by less than its interval; sampled accuracy was higher on one seed of three. So it wasted fewer rollouts",
    "here, and that it made the model better is not shown. 40 updates are few: with the recipe's shares greedy accuracy",
    "fell below the cold start's on two seeds while sampled accuracy rose, and no run learned 2x2 or 3x3, of which the",
    "cold start knew nothing. Even a group whose answers are all wrong has variance where the form of its replies",
    "differs, so the share of groups that teach nothing of the puzzle is larger than these figures. The runs had no",
    "development rows: the last weights are measured.",
)


if __name__ == "__main__":
    main()
