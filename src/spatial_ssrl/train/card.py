"""The README of a trained model: from what, on which rows, how, and how well it did while training."""

import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from spatial_ssrl.train.preset import TINY, Preset

PACKAGES = ("spatial-ssrl", "torch", "transformers", "trl", "peft")
TRAINED = "Trained by spatial-ssrl"
METHODS = {"sft": "cold start: supervised training on right answers", "grpo": "GRPO: reinforcement on verifiable answers"}


def model_card(preset: Preset, dataset: Path | None, command: str | None, log: list[dict[str, Any]]) -> str:
    """Markdown with the front matter of a model card of the Hugging Face hub."""
    base, before = _start(preset.model)
    front = {"library_name": "transformers", "pipeline_tag": "image-text-to-text"}
    front |= {"base_model": base} if base else {}  # the hub refuses anything but its own names
    lines = [f"{key}: {json.dumps(value)}" for key, value in front.items()]
    return "\n".join(
        [
            "---",
            *lines,
            "tags: [spatial-ssrl, spatial-reasoning]",
            "---",
            "",
            f"# {preset.model}, {METHODS[preset.stage]}",
            "",
            f"{TRAINED} on puzzles whose answers come from the pictures: no person and no model labelled them.",
            "",
            "## Development rows",
            "",
            _measured(log),
            "",
            "## Rows",
            "",
            *(_rows(dataset, preset) if dataset else [_stream(preset)]),
            *(["", "## Rows before", "", before] if before else []),
            "",
            "## How",
            "",
            *([f"    {command}", ""] if command else []),
            ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
            "",
            "```json",
            preset.model_dump_json(indent=2, exclude_none=True),
            "```",
            "",
        ]
    )


def _start(model: str) -> tuple[str | None, str | None]:
    """The name on the hub that it all began with, and the rows of earlier stages, which the card of a local start tells."""
    if model.startswith(TINY):
        return None, None
    if not Path(model).exists():
        return model, None
    path = Path(model) / "README.md"
    card = path.read_text(encoding="utf-8") if path.exists() else ""
    if TRAINED not in card:
        return None, None
    base = re.search(r'^base_model: "(.+)"$', card, re.MULTILINE)
    rows = re.search(r"^## Rows\n\n(.+?)\n\n## How$", card, re.MULTILINE | re.DOTALL)
    return base and base[1], rows and rows[1]


def _measured(log: list[dict[str, Any]]) -> str:
    measured = [entry for entry in log if "dev/accuracy" in entry]
    if not measured:
        return "Not measured: the preset has no table `dev`. The weights are those of the last step."
    first, best = measured[0], max(reversed(measured), key=lambda entry: entry["dev/accuracy"])
    return (
        f"Greedy accuracy {best['dev/accuracy']:.1%} ({best['dev/unparsed']:.1%} unparsed) at step {best['step']}, the best"
        f" of {len(measured)} measurements, and {first['dev/accuracy']:.1%} before training. It chose the weights and"
        " flatters them; evaluate on other rows."
    )


def _rows(dataset: Path, preset: Preset) -> list[str]:
    """The facts of a dataset's manifest."""
    try:
        manifest = json.loads((dataset / "manifest.json").read_text(encoding="utf-8"))
        recipe, counts = manifest["recipe"], manifest["counts"]
        table = [f"| {name} | {count} |" for name, count in sorted(counts.get("train", {}).items())]
        return [
            f"Profile {recipe['profile']}, seed {recipe['seed']}, fingerprint `{manifest['fingerprint']}`, from"
            f" {manifest['scenes']} scenes of {', '.join(recipe['sources'])}; built by `{manifest['command']}`.",
            "",
            *([f"At most {preset.rows} of its rows, evenly over variants.", ""] if preset.rows else []),
            "| training rows | |",
            "|---|---:|",
            *table,
        ]
    except (OSError, ValueError, KeyError):
        return [f"{dataset.name}, which has no manifest."]


def _stream(preset: Preset) -> str:
    assert preset.stream
    recipe, chosen = preset.stream, "a curriculum" if preset.curriculum else "the recipe's shares"
    return (
        f"Drawn while training, profile {recipe.profile}, seed {recipe.seed}, by {chosen}, from {', '.join(recipe.sources)}."
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
