"""A folder of photographs, at any depth, or one photograph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from spatial_ssrl.scene import Scene, read_rgb
from spatial_ssrl.sources.base import IMAGE_SUFFIXES, PathSource


@dataclass(frozen=True)
class Folder(PathSource):
    """`folder:PATH`, or a plain path: every picture file below it."""

    name: ClassVar[str] = "folder"
    has_depth: ClassVar[bool] = False

    def list_keys(self) -> Sequence[str]:
        base = self.root.parent if self.root.is_file() else self.root
        keys = [str(path.relative_to(base)) for path in self.find(IMAGE_SUFFIXES)]
        return self.require(keys, "pictures (" + ", ".join(IMAGE_SUFFIXES) + ")")

    def load(self, key: str, with_depth: bool = True) -> Scene:
        base = self.root.parent if self.root.is_file() else self.root
        return Scene(read_rgb(base / key), origin=(self.name, key))
