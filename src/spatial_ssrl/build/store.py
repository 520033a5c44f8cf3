"""A dataset folder on disk: shards, the state of an unfinished build, the manifest, the card.

DIR/data/train-00000-of-00004.parquet    rows
DIR/manifest.json                        counts, drops, skipped files, checksums, versions; written last
DIR/README.md                            dataset card
DIR/.build/                              an unfinished build: its fingerprint, an account and a trail a shard
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import platform
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from spatial_ssrl.build.plan import Plan
from spatial_ssrl.build.shard import Shard
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.row import Row, row_writer

STATE = ".build"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""How a file system without locks answers."""


def is_finished(plan: Plan, out: Path) -> bool:
    """Whether the folder holds this very build, whole.

    Raises DatasetError when it holds another build, or files of another kind.
    """
    finished = (out / "manifest.json").exists()
    fingerprint = out / STATE / "fingerprint"
    known = read_manifest(out)["fingerprint"] if finished else fingerprint.read_text() if fingerprint.exists() else None
    if known is None and out.exists() and any(path.name != STATE for path in out.iterdir()):
        raise DatasetError(f"{out} is not empty and holds no build; choose another --out")
    if known not in (None, plan.fingerprint):
        raise DatasetError(f"{out} holds the rows of another recipe, seed or source; choose another --out, or delete it")
    return finished


@contextmanager
def claim(plan: Plan, out: Path) -> Iterator[None]:
    """Hold a folder, new or to be resumed, against other processes. Raises DatasetError when one holds it.

    Where the file system has no locks, two runs both make all shards, with the same bytes and names of their own for
    unfinished files.
    """
    (out / STATE).mkdir(parents=True, exist_ok=True)
    with (out / STATE / "lock").open("a+") as lock:
        alone = _lock(lock, out)
        _write(out / STATE / "fingerprint", plan.fingerprint)
        (out / "data").mkdir(exist_ok=True)
        _sweep(out, alone)
        yield
        _sweep(out, alone)


def _sweep(out: Path, alone: bool) -> None:
    """Delete the unfinished files that dead processes left, where no other run can be writing them."""
    for left in (*out.glob("data/.*.tmp"), *out.glob(f"{STATE}/.*.tmp")) if alone else ():
        left.unlink(missing_ok=True)


def _lock(lock: TextIO, out: Path) -> bool:
    """Whether the folder could be locked."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise DatasetError(f"another process is building in {out}: {lock.read() or 'one just started'}") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    lock.truncate(0)
    print(f"process {os.getpid()} of {platform.node()}", file=lock, flush=True)
    return True


def write_shard(shard: Shard, out: Path, shards: int) -> None:
    """Write a shard's rows as they are made, a file a split, and then the account that marks it as finished."""
    counts, paths, account = Counter[tuple[str, str]](), dict[str, Path](), shard.account
    with ExitStack() as files:
        writers: dict[str, Callable[[Row], None]] = {}
        for row in shard:
            split = row["split"]
            if split not in writers:
                paths[split] = out / "data" / f"{split}-{shard.index:05d}-of-{shards:05d}.parquet"
                writers[split] = files.enter_context(row_writer(paths[split]))
            writers[split](row)
            counts[split, f"{row['task']}/{row['variant']}"] += 1
    rows = {split: sum(inner.values()) for split, inner in nest(counts).items()}
    told = {path.name: {"rows": rows[split], **_facts(path)} for split, path in paths.items()}
    found = {"counts": nest(counts), "drops": nest(account.drops), "skipped": account.skipped, "short": nest(account.short)}
    _write(_account(out, shard.index), json.dumps({**found, "files": told}, sort_keys=True))


def unfinished(out: Path, shards: int) -> list[int]:
    """Shards without an account, or whose files are not what it says."""
    return [i for i in range(shards) if not (_account(out, i).exists() and _is_whole(out, i))]


def _is_whole(out: Path, index: int) -> bool:
    for name, told in json.loads(_account(out, index).read_text())["files"].items():
        path = out / "data" / name
        if not path.exists() or {"rows": told["rows"], **_facts(path)} != told:
            logging.getLogger(__name__).warning("%s is gone or not as it was written; it is made again", path)
            return False
    return True


def _facts(path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def merge_accounts(out: Path, shards: int) -> dict[str, Any]:
    """The sum of all shards' accounts."""
    totals: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in ("counts", "drops", "short")}
    skipped: dict[str, str] = {}
    files: dict[str, dict[str, Any]] = {}
    for index in range(shards):
        account = json.loads(_account(out, index).read_text())
        skipped.update(account["skipped"])
        files.update(account["files"])
        for name, total in totals.items():
            total.update({(a, b): n for a, inner in account[name].items() for b, n in inner.items()})
    sums = {name: nest(total) for name, total in totals.items()}
    return {**sums, "skipped": dict(sorted(skipped.items())), "files": dict(sorted(files.items()))}


def close_store(out: Path, manifest: dict[str, Any], card: str) -> None:
    """Write card and manifest, and forget the state of the build."""
    (out / "README.md").write_text(card, encoding="utf-8")
    _write(out / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    forget_state(out)


def forget_state(out: Path) -> None:
    """Delete the state of a build that is finished, where it is still there."""
    shutil.rmtree(out / STATE, ignore_errors=True)


def read_manifest(dataset: Path) -> dict[str, Any]:
    """The manifest of a finished dataset. Raises DatasetError when there is none."""
    path = dataset / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(f"{dataset} has no manifest.json; build it, or let an interrupted build finish") from None
    except ValueError as error:
        raise DatasetError(f"{path} is damaged: {error}") from None
    return manifest


def nest(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Counts by pairs as two levels of dictionaries, sorted."""
    nested: dict[str, dict[str, int]] = {}
    for (outer, inner), n in sorted(counts.items()):
        nested.setdefault(outer, {})[inner] = n
    return nested


def trail_path(out: Path, index: int) -> Path:
    """Where the process that makes a shard leaves word of the scene it is at."""
    return out / STATE / f"trail-{index:05d}.json"


def _write(path: Path, text: str) -> None:
    """Write a file under a temporary name of its own, then rename it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _account(out: Path, index: int) -> Path:
    return out / STATE / f"shard-{index:05d}.json"
