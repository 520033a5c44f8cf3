"""What every format shares: a row as it is posed, and what a format must say about itself."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from spatial_ssrl import vlm
from spatial_ssrl.coldstart import cold_start_reply
from spatial_ssrl.errors import ExportError
from spatial_ssrl.export.reward_file import reward_file
from spatial_ssrl.export.settings import Settings, Stage
from spatial_ssrl.grammar import INSTRUCTIONS
from spatial_ssrl.reward.truth import write_truth
from spatial_ssrl.row import Image, Row

ImageForm = Literal["embedded", "paths"]

REWARD_FILE, CONFIG, SCRIPT = "spatial_reward.py", "train.yaml", "run.sh"


@dataclass(frozen=True)
class Posed:
    """A row as a trainer is to pose it."""

    row: Row
    index: int
    """Its number within its split."""
    prompt: vlm.Conversation
    """One user message, an image part a picture."""
    images: list[Image]
    """Encoded, under the names that their files would have."""
    reply: str
    """A right reply in the form that the instruction asks for."""

    @property
    def text(self) -> str:
        """The prompt as one text, with one `<image>` a picture."""
        return "".join(part.get("text", "<image>") for part in self.prompt[0]["content"])

    @property
    def truth(self) -> str:
        """What the reward adapters read to score a reply."""
        return write_truth(self.row)


def pose(rows: Iterable[Row], instruction: str) -> Iterator[Posed]:
    """The rows with the named format instruction at the end of their problems."""
    for index, row in enumerate(rows):
        images = [Image(bytes=image["bytes"], path=_name(row, i, image)) for i, image in enumerate(row["images"])]
        prompt = vlm.conversation(row["problem"], INSTRUCTIONS[instruction])
        yield Posed(row, index, prompt, images, cold_start_reply(row, instruction))


def _name(row: Row, i: int, image: Image) -> str:
    """A file name of its own for every image; two letters of the id make 256 folders."""
    return f"images/{row['id'][:2]}/{row['id']}-{i}{Path(image['path']).suffix}"


@dataclass(frozen=True)
class Place:
    """Where an export is written, and where it will lie once it is whole."""

    folder: Path
    final: Path
    images: ImageForm

    def store(self, posed: Posed) -> list[str]:
        """Write the images of a row as files, and return their final absolute paths."""
        for image in posed.images:
            path = self.folder / image["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image["bytes"])
        return [str(self.final / image["path"]) for image in posed.images]


class Format(ABC):
    """Files in the form that one trainer reads."""

    image_forms: ClassVar[tuple[ImageForm, ...]]
    """Forms of images that its loader reads; the first is the default."""
    reward: ClassVar[str | None] = None
    """Module of `spatial_ssrl.reward` whose function it calls; REWARD_FILE holds it with all that it needs."""
    reward_tail: ClassVar[str] = ""
    """Lines at the end of that file."""
    stage: ClassVar[Stage | None] = None
    """What the trainer is started for, where the export writes its settings."""

    @abstractmethod
    def write(self, rows: Iterator[Posed], split: str, place: Place) -> None:
        """Write the rows of one split, a row group in memory at a time."""

    @abstractmethod
    def command(self, out: Path, splits: Sequence[str], settings: Settings) -> str:
        """How to start the trainer on the files; MODEL stands for a model that the settings do not name."""

    def beside(self, out: Path, splits: Sequence[str], settings: Settings) -> dict[str, str]:
        """Texts of the files beside the data, by name."""
        return {REWARD_FILE: reward_file(self.reward, self.reward_tail)} if self.reward else {}

    def image_form(self, wanted: str | None) -> ImageForm:
        """The form to write. Raises ExportError for one that the trainer does not read."""
        for form in self.image_forms:
            if wanted in (None, form):
                return form
        raise ExportError(f"--images {wanted}: this trainer reads images as {' or '.join(self.image_forms)}")


def held_out(splits: Sequence[str]) -> str | None:
    """The split to validate on, never that to train on; None where there is no other."""
    others = [split for split in splits if split != training(splits)]
    return next((split for split in ("validation", "test", *others) if split in others), None)


def need_held_out(splits: Sequence[str]) -> str:
    """The same for a trainer that always validates. Raises ExportError where there is none."""
    if (split := held_out(splits)) is None:
        raise ExportError(
            f"this trainer needs rows to validate on, and there are only those of {training(splits)!r};"
            " build with another split, such as splits = { train = 0.98, validation = 0.02 }"
        )
    return split


def training(splits: Sequence[str]) -> str:
    """The split to train on."""
    return "train" if "train" in splits else splits[0]
