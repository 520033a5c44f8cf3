"""A dataset folder, on disk or in an object store: shards, the state of an unfinished build, the manifest, the card.

DIR/data/train-00000-of-00004.parquet    rows
DIR/manifest.json                        counts, drops, skipped files, checksums, versions; written last
DIR/README.md                            dataset card
DIR/.build/                              an unfinished build: its fingerprint, an account and a trail a shard

Lock and trails of a build in an object store are in a folder of this machine.
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from spatial_ssrl.build.place import STATE, Place, reaching, staged, work_folder
from spatial_ssrl.build.plan import Plan
from spatial_ssrl.build.shard import Shard
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.row import Row, row_writer

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""How a file system without locks answers."""
REQUESTS = 16
"""Files to look at at a time: an object store answers each after some 30 ms."""


@reaching
def is_finished(out: Place, plan: Plan) -> bool:
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
def claim(out: Place, plan: Plan) -> Iterator[None]:
    """Hold a folder, new or to be resumed, against other processes. Raises DatasetError when one holds it.

    Where the file system has no locks, and on an object store against other machines, two runs both make all shards,
    with the same bytes and names of their own for unfinished files.
    """
    work = work_folder(out)
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("a+") as lock:
        alone = _lock(lock, out)
        _prepare(out, plan)
        _sweep(out, alone)
        yield
        _sweep(out, alone)


@reaching
def _prepare(out: Place, plan: Plan) -> None:
    for folder in (out, out / STATE, out / "data"):
        if folder != folder.parent:  # a bucket is not made
            folder.mkdir(exist_ok=True)
    _write(out / STATE / "fingerprint", plan.fingerprint)


def _sweep(out: Place, alone: bool) -> None:
    """Delete the unfinished files that dead processes left, where no other run can be writing them."""
    if alone and isinstance(out, Path):
        for left in (*out.glob("data/.*.tmp"), *out.glob(f"{STATE}/.*.tmp")):
            left.unlink(missing_ok=True)


def _lock(lock: TextIO, out: Place) -> bool:
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


def write_shard(out: Place, shard: Shard, shards: int) -> None:
    """Write a shard's rows as they are made, a file a split, and then the account that marks it as finished."""
    counts, paths, account = Counter[tuple[str, str]](), dict[str, Path](), shard.account
    with staged(out / "data") as folder:
        with ExitStack() as files:
            writers: dict[str, Callable[[Row], None]] = {}
            for row in shard:
                split = row["split"]
                if split not in writers:
                    paths[split] = folder / f"{split}-{shard.index:05d}-of-{shards:05d}.parquet"
                    writers[split] = files.enter_context(row_writer(paths[split]))
                writers[split](row)
                counts[split, f"{row['task']}/{row['variant']}"] += 1
        rows = {split: sum(inner.values()) for split, inner in nest(counts).items()}
        told = {path.name: {"rows": rows[split], **_facts(path)} for split, path in paths.items()}
    found = {"counts": nest(counts), "drops": nest(account.drops), "skipped": account.skipped, "short": nest(account.short)}
    _write_account(out, shard.index, {**found, "files": told})


@reaching
def unfinished(out: Place, shards: int) -> list[int]:
    """Shards without an account, or whose files are not what it says: of its SHA-256 or, in a store, its size."""
    there = {path.name for path in (out / STATE).iterdir()}
    accounted = [index for index in range(shards) if _account(out, index).name in there]
    with ThreadPoolExecutor(REQUESTS) as pool:
        whole = {index for index, ok in zip(accounted, pool.map(partial(_is_whole, out), accounted), strict=True) if ok}
    return [index for index in range(shards) if index not in whole]


def _is_whole(out: Place, index: int) -> bool:
    try:
        account = _read_account(out, index)
    except ValueError:  # cut short, in a store that shows files while they are written
        return False
    damaged = [name for name, told in account["files"].items() if not _is_as_told(out / "data" / name, told)]
    for name in damaged:
        logging.getLogger(__name__).warning("%s/data/%s is gone or not as it was written; it is made again", out, name)
    return not damaged


def _is_as_told(path: Place, told: dict[str, str | int]) -> bool:
    if not path.exists():
        return False
    if isinstance(path, Path):
        return {"rows": told["rows"], **_facts(path)} == told
    return path.stat().st_size == told["bytes"]  # to hash it is to download it


def _facts(path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


@reaching
def merge_accounts(out: Place, shards: int) -> dict[str, Any]:
    """The sum of all shards' accounts."""
    totals: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in ("counts", "drops", "short")}
    skipped: dict[str, str] = {}
    files: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(REQUESTS) as pool:
        accounts = list(pool.map(partial(_read_account, out), range(shards)))
    for account in accounts:
        skipped.update(account["skipped"])
        files.update(account["files"])
        for name, total in totals.items():
            total.update({(a, b): n for a, inner in account[name].items() for b, n in inner.items()})
    sums = {name: nest(total) for name, total in totals.items()}
    return {**sums, "skipped": dict(sorted(skipped.items())), "files": dict(sorted(files.items()))}


@reaching
def close_store(out: Place, manifest: dict[str, Any], card: str) -> None:
    """Write card and manifest, and forget the state of the build."""
    (out / "README.md").write_text(card, encoding="utf-8")
    _write(out / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    forget_state(out)


@reaching
def forget_state(out: Place) -> None:
    """Delete the state of a build that is finished, where it is still there and may be deleted."""
    shutil.rmtree(work_folder(out), ignore_errors=True)
    if not isinstance(out, Path):
        with suppress(OSError):
            (out / STATE).rmdir(recursive=True)


@reaching
def read_manifest(dataset: Place) -> dict[str, Any]:
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


def trail_path(out: Place, index: int) -> Path:
    """Where the process that makes a shard leaves word of the scene it is at."""
    return work_folder(out) / f"trail-{index:05d}.json"


def _write(path: Place, text: str) -> None:
    """Write a file at once: under a temporary name of its own that is renamed, or as an object."""
    if not isinstance(path, Path):
        path.write_text(text, encoding="utf-8")
        return
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


@reaching
def _write_account(out: Place, index: int, account: dict[str, Any]) -> None:
    _write(_account(out, index), json.dumps(account, sort_keys=True))


def _read_account(out: Place, index: int) -> dict[str, Any]:
    """What a shard came to. Raises DatasetError when there is no word of it, ValueError when it is damaged."""
    try:
        account: dict[str, Any] = json.loads(_account(out, index).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(
            f"{_account(out, index)} is gone: another run has finished in {out}, or its processes share no files there"
        ) from None
    return account


def _account(out: Place, index: int) -> Place:
    return out / STATE / f"shard-{index:05d}.json"
