"""Where scenes come from. A new layout is a class and a line in SOURCES."""

from spatial_ssrl.errors import SourceError
from spatial_ssrl.sources.archives import Arrow, Parquet, Tar
from spatial_ssrl.sources.base import PathSource, Source, parse_source
from spatial_ssrl.sources.files import Span, spell
from spatial_ssrl.sources.folder import Coco, Folder, PathList
from spatial_ssrl.sources.kinect import Nyu, NyuSync, ScanNet, SevenScenes, SunRgbd, Tum
from spatial_ssrl.sources.laser import ArkitScenes, Diode, Kitti
from spatial_ssrl.sources.multiview import MegaDepth, Middlebury
from spatial_ssrl.sources.pairs import Pairs
from spatial_ssrl.sources.rooms import Rooms

__all__ = ["SOURCES", "Source", "Span", "open_source", "spell"]

SOURCES: dict[str, type[Source]] = {
    source.name: source
    for source in (
        *(Folder, PathList, Coco, Tar, Parquet, Arrow),
        *(Diode, Kitti, ArkitScenes, Nyu, NyuSync, Tum, SevenScenes, ScanNet, SunRgbd, MegaDepth, Middlebury, Pairs),
        Rooms,
    )
}


def open_source(text: str, scenes: int, seed: int) -> Source:
    """The source that `path` or `layout:path?option=value&...` names.

    `scenes` and `seed` are for an endless source: how many scenes it gives when its text names no
    number, and which ones. Raises SourceError with what exists.
    """
    layout, path, options = parse_source(text)
    if layout not in SOURCES:
        known = ", ".join(SOURCES)
        raise SourceError(f"unknown layout {layout!r} in {text!r}; known: {known}; or write folder:PATH")
    if spell(text) != text:
        raise SourceError(f"the path {text!r} is no UTF-8; rename it, or run the command in that folder with .")
    kind = SOURCES[layout]
    if kind is Rooms:
        return Rooms.from_text(path, options, scenes, seed)
    assert issubclass(kind, PathSource)
    return kind.from_text(path, options)
