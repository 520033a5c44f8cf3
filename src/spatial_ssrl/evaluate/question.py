"""A question of a benchmark, and what became of a reply to it."""

import base64
import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spatial_ssrl.errors import DatasetError

Fields = Mapping[str, str]


@dataclass(frozen=True)
class Picture:
    """An encoded picture, as the data has it: bytes, base64 text, or a file that is read when it is asked for."""

    source: bytes | str | Path

    @property
    def digest(self) -> str:
        """A short name that pictures with the same source share: a hash of what is embedded, or of the file's path."""
        source = self.source if isinstance(self.source, bytes) else str(self.source).encode()
        return hashlib.blake2b(source, digest_size=8).hexdigest()

    @property
    def data(self) -> bytes:
        """The encoded bytes. Raises DatasetError for a file that is not there or text that is not base64."""
        try:
            if isinstance(self.source, Path):
                return self.source.read_bytes()
            return base64.b64decode(self.source, validate=True) if isinstance(self.source, str) else self.source
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"a picture of the benchmark cannot be read: {error}; put its files beside the table"
            ) from None


@dataclass(frozen=True)
class Question:
    """One row of a benchmark."""

    id: str
    """Unique in the benchmark."""
    text: str
    """With an `<image>` where a picture belongs; pictures without one stand in front."""
    answers: tuple[str, ...]
    """Answers that are right, the usual one first; for a choice question a letter."""
    choices: tuple[str, ...] = ()
    """Texts of the options in letter order."""
    category: str = ""
    cluster: str = ""
    """What questions share that makes their errors alike, such as a picture or a scene; the id where nothing is shared."""
    images: tuple[Picture, ...] = ()
    video: Path | None = None
    hint: str = ""
    fields: Fields = field(default_factory=dict)
    """What else the benchmark groups by."""
    row: dict[str, Any] = field(default_factory=dict)
    """Its row of the table without pictures, for those who score the predictions."""

    @property
    def answer(self) -> str:
        """The usual answer."""
        return self.answers[0]


@dataclass(frozen=True)
class Verdict:
    """A reply, scored. It carries all that metrics group by, so that the benchmark's data is not needed again."""

    id: str
    sample: int
    category: str
    cluster: str
    fields: Fields
    answer: str
    choices: tuple[str, ...]
    reply: str | None
    """None when the model could not be asked; `error` says why, and the question counts as wrong."""
    error: str | None
    parsed: str | None
    """What was read as the answer; None when nothing was."""
    accuracy: float
    """0 to 1; a fraction where a number is more or less near."""
    format: float
    """1 for one thought followed by one box at the end."""
    why: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Verdict":
        """From JSON. Raises DatasetError when fields are missing or unknown."""
        try:
            return cls(**{**values, "choices": tuple(values["choices"])})
        except (TypeError, KeyError) as error:
            raise DatasetError(f"a stored verdict is damaged or of another version: {error}; score again") from None
