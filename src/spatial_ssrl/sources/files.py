"""The files below a folder of this machine or, through fsspec, of an object store.

Names are relative to the folder, with `/` between their parts. Bytes of a file name that are no UTF-8 stand in it
as Python's calls give them (surrogates); `spell` writes them for rows and manifests.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from spatial_ssrl.errors import MissingExtraError, SceneError, SourceError

MAX_BYTES = 1 << 30
"""Larger files are refused unread: a picture within `scene.MAX_PIXELS` is smaller in any format."""


class Span(NamedTuple):
    """Where on this machine's disks the bytes of an encoded picture lie."""

    path: Path
    start: int = 0
    size: int | None = None
    """In bytes; None is the whole file."""


@dataclass(frozen=True)
class Files:
    """All files below a folder, or one file of it."""

    folder: str
    """A path, or a URL such as `s3://bucket/prefix`."""
    only: str | None = None

    @classmethod
    def at(cls, place: str) -> "Files":
        """The files at a path or URL. Raises SourceError when there is nothing."""
        if is_url(place):
            with _reaching(place) as (store, path):
                is_file, found = store.isfile(path), store.exists(path)
        else:
            place = os.path.expanduser(place)
            is_file, found = os.path.isfile(place), os.path.exists(place)
        if not found:
            raise SourceError(f"no such file or folder: {place}")
        return cls(*(os.path.split(place) if is_file else (place.rstrip("/") or "/", None)))

    @property
    def is_local(self) -> bool:
        return not is_url(self.folder)

    def list(self) -> list[str]:
        """Names, sorted."""
        if self.only is not None:
            return [self.only]
        return sorted(_walk(self.folder) if self.is_local else _find(self.folder))

    def place(self, name: str) -> str:
        """Path or URL of a file; a name that is one itself stays as it is."""
        if is_url(name):
            return name
        return os.path.join(self.folder, name)

    def path(self, name: str) -> Path:
        return Path(self.place(name))

    def open(self, name: str) -> Any:
        """A binary file for random access. Raises OSError, or SourceError where a store cannot be reached."""
        place = self.place(name)
        if not is_url(place):
            return Path(place).open("rb")
        with _reaching(place) as (store, path):
            return store.open(path, "rb")

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """A whole file, or `size` bytes of it. Raises SceneError, "unreadable file" or "too large a file"."""
        place = self.place(name)
        try:
            data = (_read_remote if is_url(place) else _read_local)(place, start, size)
        except Exception as error:  # object stores raise errors of their own
            raise SceneError("unreadable file", str(error)) from None
        if len(data) > MAX_BYTES:
            raise SceneError("too large a file", f"more than {MAX_BYTES} bytes")
        return data


def is_url(place: str) -> bool:
    """Whether a place is a URL such as `s3://bucket/prefix`, not a path."""
    return "://" in place


def spell(text: str) -> str:
    """Text that any file can hold: bytes that are no UTF-8 become `\\xNN`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _walk(root: str) -> Iterator[str]:
    """Names of regular files and of links that lead nowhere; links to folders are not followed.

    A folder within that cannot be listed is named itself, with a slash at its end. Raises OSError for the root.
    """
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(f"{folder}{entry.name}/")
                    elif _leads_to_file(entry.path) if entry.is_symlink() else entry.is_file():
                        yield folder + entry.name
        except OSError:
            if not folder:
                raise
            yield folder


def _leads_to_file(link: str) -> bool:
    """Whether a link leads to a file, or nowhere, which is told when it is read."""
    return os.path.isfile(link) or not os.path.exists(link)


def _find(url: str) -> list[str]:
    with _reaching(url) as (store, root):
        return [path[len(root) :].lstrip("/") for path in store.find(root)]


@contextmanager
def _reaching(url: str) -> Iterator[tuple[Any, str]]:
    """The store of a URL and the path in it. Raises SourceError where the store raises anything."""
    try:
        yield _store(url)
    except MissingExtraError:
        raise
    except Exception as error:  # of the store's own kind
        raise SourceError(f"{url}: {type(error).__name__}: {error}") from None


def _store(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it. Settings are fsspec's own: its environment variables and files."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise MissingExtraError("fsspec", "remote") from None
    return url_to_fs(url)


def _read_local(path: str, start: int, size: int | None) -> bytes:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"not a regular file: {path}")
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(min(found.st_size - start if size is None else size, MAX_BYTES + 1))


def _read_remote(url: str, start: int, size: int | None) -> bytes:
    store, path = _store(url)
    return store.cat_file(path, start=start, end=start + (MAX_BYTES + 1 if size is None else size))
