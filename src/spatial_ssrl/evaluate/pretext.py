"""Accuracy on held-out rows of our own, with greedy decoding.

Replies are stored as they come, so a killed run resumes and a repeated one asks nothing again:

    OUT/settings.json    model, data and decoding: what the replies belong to
    OUT/replies.jsonl    {id, reply, accuracy, format, parsed, why} a line
    OUT/results.json     scores by task and variant, each with interval, chance and unparsed rate
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.reward import score
from spatial_ssrl.rng import digest
from spatial_ssrl.row import Row, read_rows
from spatial_ssrl.statistics import wilson

BATCH = 32

Reply = dict[str, Any]


def evaluate(
    model: str,
    dataset: Path,
    out: Path,
    *,
    split: str = "test",
    max_new_tokens: int = 2048,
    limit: int | None = None,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Ask a model (folder or hub name) the rows of a split, and write what came of it.

    `progress` gets rows answered and rows in all. Raises DatasetError for a missing split or an `out`
    that holds another evaluation, TrainingError when the model cannot be loaded.
    """
    rows = list(read_rows(dataset, split))[:limit]
    settings = {
        "model": model,
        "model_files": _fingerprint(Path(model)),
        "dataset": str(dataset),
        "rows": digest(*(row["id"] for row in rows)),
        "split": split,
        "policy": "robust",
        "decoding": {"temperature": 0, "max_new_tokens": max_new_tokens},
    }
    replies = _open(out, settings)
    _ask(model, rows, out / "replies.jsonl", replies, max_new_tokens, progress)
    results = {**settings, **summarise(rows, replies)}
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return results


def summarise(rows: Sequence[Row], replies: dict[str, Reply]) -> dict[str, Any]:
    """Scores by task and variant, and of all rows together."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["variant"]), []).append(row)
    scores = [
        {"task": task, "variant": variant, **_tally(group, replies)} for (task, variant), group in sorted(groups.items())
    ]
    return {"scores": scores, "overall": _tally(rows, replies)}


def _tally(rows: Sequence[Row], replies: dict[str, Reply]) -> dict[str, float]:
    scored = [replies[row["id"]] for row in rows]
    n, correct = len(rows), round(sum(s["accuracy"] for s in scored))
    low, high = wilson(correct, n)
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n,
        "low": low,
        "high": high,
        "unparsed": sum(s["parsed"] is None for s in scored) / n,
        "format": sum(s["format"] for s in scored) / n,
        "chance": sum(row["chance"] for row in rows) / n,
    }


def _ask(
    model: str,
    rows: Sequence[Row],
    path: Path,
    replies: dict[str, Reply],
    max_new_tokens: int,
    progress: Callable[[int, int], None],
) -> None:
    """Add to `replies`, and to the file, the scored reply to every row that has none."""
    missing = [row for row in rows if row["id"] not in replies]
    progress(len(rows) - len(missing), len(rows))
    if not missing:
        return
    loaded, processor = vlm.load(model)
    texts = vlm.generate(loaded, processor, missing, max_new_tokens=max_new_tokens, batch_size=BATCH)
    with path.open("a", encoding="utf-8") as file:
        for row, text in zip(missing, texts, strict=True):
            s = score(text, row)
            reply = {
                "id": row["id"],
                "reply": text,
                "accuracy": s.accuracy,
                "format": s.format,
                "parsed": s.parsed,
                "why": s.why,
            }
            file.write(json.dumps(reply) + "\n")
            file.flush()
            replies[row["id"]] = reply
            progress(len(replies), len(rows))


def _open(out: Path, settings: dict[str, Any]) -> dict[str, Reply]:
    """The replies that an earlier run with the same settings stored in `out`."""
    path = out / "settings.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != settings:
        raise DatasetError(f"{out} holds the evaluation of another model, dataset or setting; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return _repair(out / "replies.jsonl")


def _repair(path: Path) -> dict[str, Reply]:
    """Stored replies; a last line that a killed run left unfinished is cut off the file."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        path.write_text("".join(whole), encoding="utf-8")
    return {reply["id"]: reply for reply in map(json.loads, whole)}


def _fingerprint(folder: Path) -> str | None:
    """Names, sizes and times of a model folder's weights: a model trained anew is another model."""
    files: Iterable[Path] = sorted(folder.glob("*.safetensors")) if folder.is_dir() else ()
    parts = [part for f in files for part in (f.name, f.stat().st_size, f.stat().st_mtime_ns)]
    return digest(*parts) if parts else None
