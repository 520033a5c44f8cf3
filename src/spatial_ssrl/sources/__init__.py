"""Where scenes come from. A new layout is a class and a line in SOURCES."""

from spatial_ssrl.errors import SourceError
from spatial_ssrl.sources.base import PathSource, Source, parse_source
from spatial_ssrl.sources.folder import Folder
from spatial_ssrl.sources.rgbd import Diode, MegaDepth, Pairs, Tum
from spatial_ssrl.sources.rooms import Rooms

__all__ = ["SOURCES", "Source", "open_source"]

SOURCES: dict[str, type[Source]] = {source.name: source for source in (Folder, Diode, MegaDepth, Tum, Pairs, Rooms)}


def open_source(text: str, scenes: int, seed: int) -> Source:
    """The source that `path` or `layout:path?option=value&...` names.

    `scenes` and `seed` are for an endless source: how many scenes it gives when its text names no
    number, and which ones. Raises SourceError with what exists.
    """
    layout, path, options = parse_source(text)
    if layout not in SOURCES:
        raise SourceError(f"unknown layout {layout!r} in {text!r}; known: {', '.join(SOURCES)}")
    kind = SOURCES[layout]
    if kind is Rooms:
        return Rooms.from_text(path, options, scenes, seed)
    assert issubclass(kind, PathSource)
    return kind.from_text(path, options)
