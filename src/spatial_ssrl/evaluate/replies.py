"""Replies on disk: one JSON line each, written as they come, keyed by all that a reply depends on.

    {"key", "benchmark", "id", "sample", "mode", "reply", "error"}

`key` is a hash of benchmark, row, prompt, data, model and generation settings; how a reply is read is no part of it, so
that stored replies are scored again by another policy without a model. A file may hold replies of several settings.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spatial_ssrl.errors import DatasetError
from spatial_ssrl.rng import digest


@dataclass(frozen=True)
class Stored:
    """One reply, or the error that stands in its place."""

    key: str
    benchmark: str
    id: str
    sample: int
    mode: str
    reply: str | None
    error: str | None


def reply_key(benchmark: str, identity: str, prompt: str, settings: Mapping[str, Any], sample: int) -> str:
    """What tells a reply from all others."""
    return digest(benchmark, identity, prompt, json.dumps(settings, sort_keys=True), sample)


class ReplyFile:
    """The replies of a run folder: read once, then added to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.added = 0
        self.stored = {reply.key: reply for reply in read_lines(path)}

    def add(self, reply: Stored) -> None:
        """Append; the last reply with a key is the one that counts."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(reply)) + "\n")
        self.stored[reply.key] = reply
        self.added += 1


def read_lines(path: Path) -> list[Stored]:
    """Stored replies; a last line that a killed run left unfinished is cut off the file. Raises DatasetError."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    try:
        return [Stored(**json.loads(line)) for line in whole.splitlines()]
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{path} holds something else than replies: {error}; choose another --out") from None
