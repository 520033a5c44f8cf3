"""Photographs as files of their own: a folder, a list of paths, a COCO data set."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from spatial_ssrl.errors import SourceError
from spatial_ssrl.scene import Scene
from spatial_ssrl.sources.base import IMAGE_SUFFIXES, PathSource
from spatial_ssrl.sources.files import is_url


@dataclass(frozen=True)
class Folder(PathSource):
    """`folder:PATH`, or a plain path or URL: every picture file below it, or one picture."""

    name: ClassVar[str] = "folder"
    looked_for: ClassVar[str] = "pictures (" + ", ".join(IMAGE_SUFFIXES) + ")"

    def list_keys(self) -> Sequence[str]:
        wanted = (*IMAGE_SUFFIXES, "/")  # a folder that cannot be listed is counted among the files that cannot be used
        return self.require([name for name in self.files.list() if name.lower().endswith(wanted)])

    def load(self, key: str, with_depth: bool = True, max_side: int | None = None) -> Scene:
        return Scene(self.read_picture(key, max_side).rgb, origin=self.origin(key))


@dataclass(frozen=True)
class PathList(Folder):
    """`list:FILE.txt`: a path or URL a line, relative paths to the folder of the list."""

    name: ClassVar[str] = "list"
    looked_for: ClassVar[str] = "a text file with the path or URL of a picture a line"

    def list_keys(self) -> Sequence[str]:
        if self.files.only is None:
            return self.require([])
        text = self.files.read(self.files.only).decode("utf-8", "surrogateescape")
        return self.require(list(dict.fromkeys(line.strip("\r") for line in text.split("\n") if line.strip())))


@dataclass(frozen=True)
class Coco(Folder):
    """`coco:FOLDER` or `coco:ANNOTATIONS.json`: the pictures that COCO annotations list under `images`.

    In a folder these are `annotations/instances_*.json` with pictures in a folder named after what follows the
    underscore, such as `train2017`. Beside a file of another kind, `images` names the folder of its pictures.
    """

    images: str = ""
    """Folder of the pictures, relative to that of the JSON file."""

    name: ClassVar[str] = "coco"
    looked_for: ClassVar[str] = "annotations/instances_NAME.json with NAME/*.jpg, or a JSON file with a list `images`"

    def list_keys(self) -> Sequence[str]:
        lists = [name for name in self.files.list() if self.files.only or _is_instances(name)]
        return self.require(sorted({key for name in lists for key in self._pictures(name)}))

    def _pictures(self, name: str) -> list[str]:
        try:
            listed = [str(image["file_name"]) for image in json.loads(self.files.read(name))["images"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise SourceError(f"coco: {name} holds no list of pictures (images, file_name): {problem}") from None
        folder = self._folder(name)
        return [file if is_url(file) else os.path.normpath(os.path.join(folder, file)) for file in listed]

    def _folder(self, name: str) -> str:
        """Where the pictures of a JSON file are."""
        if self.images or not _is_instances(os.path.join("annotations", os.path.basename(name))):
            return os.path.join(os.path.dirname(name), self.images)
        split = os.path.splitext(name)[0].rpartition("_")[2]
        return os.path.join(os.path.dirname(name), "..", split)


def _is_instances(name: str) -> bool:
    """Whether a file is one that COCO ships: annotations/instances_val2017.json."""
    folder, file = os.path.split(name)
    return os.path.basename(folder) == "annotations" and file.startswith("instances_") and file.endswith(".json")
