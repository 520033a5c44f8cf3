"""Where replies come from. A backend takes prompts and yields outcomes in any order, each as soon as it is there."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from spatial_ssrl.evaluate.question import Picture

Row = TypeVar("Row")

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
    setup: dict[str, Any]
    """What it ran with, such as versions and precision, once it was asked; no part of the keys."""

    def ask(self, prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[Outcome]:
        """An outcome for each prompt; an error of one prompt stops no other."""
        ...


def in_halves(
    asked: Sequence[tuple[int, Row]], call: Callable[[list[Row]], list[str]], passes: Callable[[Exception], bool]
) -> Iterator[Outcome]:
    """Outcomes of one call of a model with rows and their places; where it fails, of calls with half of them each.

    So a row that a model cannot take stops no other, and its error is its outcome. An error that `passes` is raised.
    """
    if not asked:
        return
    try:
        replies, failed = call([row for _, row in asked]), ""
    except Exception as error:
        if passes(error):
            raise
        replies, failed = [], f"{type(error).__name__}: {error}"
    if not failed:
        yield from (Outcome(place, reply) for (place, _), reply in zip(asked, replies, strict=True))
    elif len(asked) == 1:
        yield Outcome(asked[0][0], None, failed)
    else:  # outside of the except clause, which would keep what the failed call holds in memory
        for half in (asked[: len(asked) // 2], asked[len(asked) // 2 :]):
            yield from in_halves(half, call, passes)
