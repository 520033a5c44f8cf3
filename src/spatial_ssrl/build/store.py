"""A dataset folder on disk: shards, the state of an unfinished build, the manifest, the card.

DIR/data/train-00000-of-00004.parquet    rows
DIR/manifest.json                        counts, drops, skipped files, versions; written last
DIR/README.md                            dataset card
DIR/.build/                              an unfinished build: its fingerprint, and an account a shard
"""

import fcntl
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spatial_ssrl.build.plan import Plan
from spatial_ssrl.build.shard import Shard
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.row import write_rows

STATE = ".build"


def is_finished(plan: Plan, out: Path) -> bool:
    """Whether the folder holds this very build, whole.

    Raises DatasetError when it holds another build, or files of another kind.
    """
    finished = (out / "manifest.json").exists()
    fingerprint = out / STATE / "fingerprint"
    known = read_manifest(out)["fingerprint"] if finished else fingerprint.read_text() if fingerprint.exists() else None
    if known is None and out.exists() and any(out.iterdir()):
        raise DatasetError(f"{out} is not empty and holds no build; choose another --out")
    if known not in (None, plan.fingerprint):
        raise DatasetError(f"{out} holds the rows of another recipe, seed or source; choose another --out, or delete it")
    return finished


@contextmanager
def claim(plan: Plan, out: Path) -> Iterator[None]:
    """Hold a folder, new or to be resumed, against other processes. Raises DatasetError when one holds it."""
    (out / "data").mkdir(parents=True, exist_ok=True)
    (out / STATE).mkdir(exist_ok=True)
    with (out / STATE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatasetError(f"another process is building in {out}") from None
        (out / STATE / "fingerprint").write_text(plan.fingerprint)
        yield


def finish_shard(out: Path, index: int, shards: int, shard: Shard) -> None:
    """Write a shard's rows, a file a split, and then the account that marks the shard as finished."""
    for split in sorted({row["split"] for row in shard.rows}):
        rows = [row for row in shard.rows if row["split"] == split]
        write_rows(rows, out / "data" / f"{split}-{index:05d}-of-{shards:05d}.parquet")
    counts = Counter((row["split"], f"{row['task']}/{row['variant']}") for row in shard.rows)
    account = {"counts": nest(counts), "drops": nest(shard.drops), "skipped": shard.skipped, "short": nest(shard.short)}
    path = _account(out, index)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(account, sort_keys=True))
    temporary.replace(path)


def unfinished(out: Path, shards: int) -> list[int]:
    """Shards without an account."""
    return [i for i in range(shards) if not _account(out, i).exists()]


def merge_accounts(out: Path, shards: int) -> dict[str, Any]:
    """The sum of all shards' accounts."""
    totals: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in ("counts", "drops", "short")}
    skipped: dict[str, str] = {}
    for index in range(shards):
        account = json.loads(_account(out, index).read_text())
        skipped.update(account["skipped"])
        for name, total in totals.items():
            total.update({(a, b): n for a, inner in account[name].items() for b, n in inner.items()})
    return {**{name: nest(total) for name, total in totals.items()}, "skipped": dict(sorted(skipped.items()))}


def close_store(out: Path, manifest: dict[str, Any], card: str) -> None:
    """Write card and manifest, and forget the state of the build."""
    (out / "README.md").write_text(card, encoding="utf-8")
    temporary = out / "manifest.json.tmp"
    temporary.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    temporary.replace(out / "manifest.json")
    shutil.rmtree(out / STATE)


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


def _account(out: Path, index: int) -> Path:
    return out / STATE / f"shard-{index:05d}.json"
