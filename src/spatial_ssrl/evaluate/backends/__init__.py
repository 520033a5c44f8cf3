"""Where replies come from. A backend takes prompts and yields outcomes in any order, each as soon as it is there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from spatial_ssrl.evaluate.question import Picture

FRAMES = 128
"""Most frames of a video that are shown."""


@dataclass(frozen=True)
class Prompt:
    """What a model is shown."""

    text: str
    """With an `<image>` for each picture."""
    images: tuple[Picture, ...]
    video: Path | None
    sample: int


@dataclass(frozen=True)
class Decoding:
    """How a reply is drawn: greedily at temperature 0, else sample k with seed + k."""

    max_new_tokens: int = 2048
    temperature: float = 0.0
    seed: int = 0
    frames: int = FRAMES


@dataclass(frozen=True)
class Outcome:
    """The reply to prompt number `place`, or the error that stands in its stead."""

    place: int
    reply: str | None
    error: str | None = None


class Backend(Protocol):
    """A model that can be asked."""

    name: str
    identity: dict[str, Any]
    """What tells this model from others, for the keys of its replies."""

    def ask(self, prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[Outcome]:
        """An outcome for each prompt; an error of one prompt stops no other."""
        ...
