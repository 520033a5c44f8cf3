"""Pictures that are byte for byte the same: a photograph that is there twice gives its rows once."""

import hashlib
import stat
from collections.abc import Callable, Hashable, Sequence

from spatial_ssrl.sources import Span

SAMPLE = 4096
"""Bytes from the middle of a picture; only pictures that agree in size and in these are read whole."""
BLOCK = 1 << 20


def find_copies(spans: Sequence[Span]) -> dict[int, int]:
    """Index of each picture that an earlier one repeats, and of the first such; unreadable ones repeat none."""
    groups = [list(range(len(spans)))]
    for measure in (_size, _middle, _whole):
        groups = [part for group in groups for part in _split(group, spans, measure)]
    return {i: group[0] for group in groups for i in group[1:]}


def _split(group: Sequence[int], spans: Sequence[Span], measure: Callable[[Span], Hashable]) -> list[list[int]]:
    parts: dict[Hashable, list[int]] = {}
    for i in group:
        try:
            parts.setdefault(measure(spans[i]), []).append(i)
        except (OSError, ValueError):
            continue
    return [part for part in parts.values() if len(part) > 1]


def _size(span: Span) -> int:
    if span.size is not None:
        return span.size
    found = span.path.stat()
    if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait for ever
        raise OSError(f"not a regular file: {span.path}")
    return found.st_size


def _middle(span: Span) -> bytes:
    return _hash(span, max(0, _size(span) - SAMPLE) // 2, SAMPLE)


def _whole(span: Span) -> bytes:
    return _hash(span, 0, _size(span))


def _hash(span: Span, start: int, size: int) -> bytes:
    """Hash of a run of a picture's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    with span.path.open("rb") as file:
        file.seek(span.start + start)
        while size > 0 and (block := file.read(min(size, BLOCK))):
            digest.update(block)
            size -= len(block)
    return digest.digest()
