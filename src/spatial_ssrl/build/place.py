"""Where a dataset is written: a folder of this machine or, through fsspec, one of an object store.

A store has neither locks nor renames, and each write is a request: shards are written here and uploaded whole, and what
only this machine needs while it builds stays here.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, Union

from spatial_ssrl.errors import DatasetError, MissingExtraError, SpatialSSRLError
from spatial_ssrl.rng import digest
from spatial_ssrl.sources.files import is_url

if TYPE_CHECKING:
    from upath import UPath

Place = Union[Path, "UPath"]
P = ParamSpec("P")
T = TypeVar("T")

STATE = ".build"


def open_place(place: str | Place) -> Place:
    """The folder at a path or URL, which need not be there. Raises MissingExtraError, or DatasetError for a wrong URL."""
    if not is_url(str(place)):
        return Path(str(place))
    try:
        from upath import UPath
    except ImportError:
        raise MissingExtraError("universal_pathlib", "remote") from None
    with _told(str(place)):
        folder = UPath(place)
        folder.fs.invalidate_cache()  # finds the store's package, and connects where it keeps a connection
    return folder


def work_folder(out: Place) -> Path:
    """The folder of this machine for lock and trails: that of the build's state, or a temporary one for each URL."""
    if isinstance(out, Path):
        return out / STATE
    return Path(tempfile.gettempdir(), f"spatial-ssrl-{os.getuid()}-{digest(str(out))}")


@contextmanager
def staged(folder: Place) -> Iterator[Path]:
    """A folder of this machine to write files in: the folder itself, or one that is uploaded to it at the end."""
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(dir=work_folder(folder.parent)) as name:
        yield Path(name)
        with _told(str(folder.parent)):
            for file in sorted(Path(name).iterdir()):
                folder.fs.put_file(str(file), (folder / file.name).path)


def reaching(function: Callable[Concatenate[Place, P], T]) -> Callable[Concatenate[Place, P], T]:
    """See a store as it is now, whoever wrote there, and tell its errors, which are of its own kind, as DatasetError."""

    @wraps(function)
    def reach(out: Place, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if isinstance(out, Path):
            return function(out, *args, **kwargs)
        with _told(str(out)):
            out.fs.invalidate_cache()
            return function(out, *args, **kwargs)

    return reach


@contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except SpatialSSRLError:
        raise
    except Exception as error:
        raise DatasetError(
            f"cannot write in {url}: {type(error).__name__}: {error}; once that is mended, the same command goes on from "
            "the finished shards"
        ) from None
