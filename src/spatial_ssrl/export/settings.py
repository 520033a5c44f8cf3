"""How the trainer of an export is to train: the paper's settings (arXiv 2510.27606), where no preset says otherwise.

They stand in OUT/train.yaml under the trainer's own names; OUT/run.sh starts it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from shlex import quote
from typing import Any, Literal, Self

from spatial_ssrl.errors import ExportError

Stage = Literal["sft", "grpo"]
MODEL = "MODEL"
"""Stands for a model that nobody has named yet."""


@dataclass(frozen=True)
class Settings:
    """Of one stage; what belongs to the other is not used. Lengths in tokens, limits of pictures in pixels."""

    stage: Stage
    model: str = MODEL
    gpus: int = 8
    learning_rate: float = 1e-6
    min_pixels: int | None = 262_144
    max_pixels: int | None = 4_194_304
    prompt_tokens: int = 4096
    size: int = 5
    """Sequences that one GPU computes at once."""
    accumulated: int = 16
    """Such batches in an update, on 8 GPUs."""
    save_every: int = 20
    """Updates."""
    rank: int | None = None
    """Of LoRA; None where all weights are trained."""
    alpha: int = 256

    replies: int = 5
    """To each puzzle; what follows is of GRPO."""
    reply_tokens: int = 2048
    temperature: float = 1.0
    kl: float = 0.01
    reuse: int = 2
    """Updates that the replies of one rollout serve."""
    updates: int = 720
    policy: str = "robust"
    partial: bool = False

    rows: int | None = None
    """At most; what follows is of the cold start."""
    epochs: float = 5
    scheduler: str = "cosine"
    warmup: float = 0.1
    """Share of all updates."""

    @classmethod
    def create(cls, stage: Stage, given: Mapping[str, Any] | None) -> Self:
        """The paper's settings of a stage under those `given`. Raises ExportError where they are of another."""
        paper: dict[str, Any] = {"stage": stage}
        if stage == "sft":
            paper |= {"gpus": 1, "rows": 3600, "size": 4, "accumulated": 8, "learning_rate": 1e-5, "save_every": 50}
            paper |= {"min_pixels": None, "max_pixels": 262_144, "rank": 128}
        if given and given["stage"] != stage:
            raise ExportError(f"the preset is of stage {given['stage']!r}; this trainer is given one of {stage!r}")
        known = {field.name for field in fields(cls)}
        return cls(**paper | {key: value for key, value in (given or {}).items() if key in known})

    @property
    def puzzles(self) -> int:
        """Of one update of GRPO. Raises ExportError where replies do not fill whole groups."""
        batch = self.size * self.accumulated * self.gpus
        puzzles, rest = divmod(batch, self.replies)
        if rest:
            raise ExportError(f"{batch} replies an update are no whole groups of {self.replies}; change the preset's batch")
        return puzzles


def start(path: Path, settings: Settings, naming: str) -> str:
    """The command that runs a script, with the argument that names a model where the settings do not."""
    return f"sh {quote(str(path))}" + (f" {naming}" if settings.model == MODEL else "")


def script(where: str, command: str) -> str:
    """A shell script that starts a trainer; further arguments are handed on."""
    return f'#!/bin/sh\n# {where}\nset -e\nexec {command} "$@"\n'


def yaml(values: Mapping[str, Any], depth: int = 0) -> str:
    """Nested tables as YAML; the scalars are JSON, which YAML includes."""
    lines = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines.append(f"{'  ' * depth}{key}:\n{yaml(value, depth + 1)}")
        else:
            lines.append(f"{'  ' * depth}{key}: {_scalar(value)}\n")
    return "".join(lines)


def _scalar(value: Any) -> str:
    """1.0e-06 for 1e-06, which YAML 1.1 takes for a text."""
    spelt = json.dumps(value, ensure_ascii=False)
    mantissa, e, power = spelt.partition("e")
    return f"{mantissa}.0e{power}" if isinstance(value, float) and e and "." not in mantissa else spelt
