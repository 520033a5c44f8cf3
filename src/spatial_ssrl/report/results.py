"""Evaluated models, and rows whose replies stand for the commonest verdicts."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spatial_ssrl.errors import DatasetError
from spatial_ssrl.report.reading import ALL, Json, check, read_json
from spatial_ssrl.report.rows import Data, Example
from spatial_ssrl.row import Row

RESULT_KEYS = ("model", "split", "decoding", "policy", "scores", "overall")
SCORE_KEYS = ("name", "n", "correct", "accuracy", "low", "high", "unparsed", "format", "chance")
REPLY_KEYS = ("id", "reply", "accuracy", "format", "parsed", "why")
REPLIES = 6

Verdicts = tuple[bool, ...]


@dataclass(frozen=True)
class Model:
    """An evaluated model: its scores by task/variant and for all rows, and its replies by row id."""

    name: str
    results: Json
    scores: Mapping[str, Json]
    replies: Mapping[str, Json]

    @classmethod
    def read(cls, path: Path) -> "Model":
        results = read_json(path, RESULT_KEYS)
        scores = {score["name"]: check(score, SCORE_KEYS, path) for score in results["scores"]}
        scores[ALL] = check(results["overall"], SCORE_KEYS, path)
        return cls(path.parent.name, results, scores, read_replies(path.with_name("verdicts.jsonl")))


def read_replies(path: Path) -> dict[str, Json]:
    """Replies by row id; none when there is no such file. Raises DatasetError for a damaged line."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8") as lines:
            return {reply["id"]: reply for reply in (check(json.loads(line), REPLY_KEYS, path) for line in lines)}
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is damaged: {error}; write it again") from None


@dataclass(frozen=True)
class Journey:
    """A row that every model answered, and how many rows they answered with the same verdicts."""

    example: Example | None
    verdicts: Verdicts
    share: tuple[int, int]
    """Rows with these verdicts, and rows in all."""
    replies: Sequence[tuple[Model, Json]]


def find_journeys(models: Sequence[Model], data: Data | None) -> list[Journey]:
    """Rows that stand for the commonest verdicts, model by model, each from another task where possible."""
    answered = [model for model in models if model.replies]
    shared = [i for i in answered[0].replies if all(i in model.replies for model in answered)] if answered else []
    by_verdicts: dict[Verdicts, list[str]] = {}
    for i in shared:
        by_verdicts.setdefault(tuple(bool(model.replies[i]["accuracy"]) for model in answered), []).append(i)
    facts = {fact["id"]: fact for fact in data.facts} if data else {}
    chosen = _pick(by_verdicts, facts)
    rows = data.fetch([facts[i] for i in chosen.values() if i in facts]) if data else {}
    examples = {i: data.show(row) for i, row in rows.items()} if data else {}
    return [
        Journey(examples.get(i), verdicts, (len(by_verdicts[verdicts]), len(shared)), [(m, m.replies[i]) for m in answered])
        for verdicts, i in chosen.items()
    ]


def _pick(by_verdicts: Mapping[Verdicts, Sequence[str]], facts: Mapping[str, Row]) -> dict[Verdicts, str]:
    """The id of one row for each of the commonest verdicts, with tasks in turn."""
    chosen: dict[Verdicts, str] = {}
    used: Counter[str] = Counter()
    for verdicts, ids in sorted(by_verdicts.items(), key=lambda item: -len(item[1]))[:REPLIES]:
        tasks = {i: facts[i]["task"] if i in facts else "" for i in ids}
        chosen[verdicts] = min(ids, key=lambda i: used[tasks[i]])
        used[tasks[chosen[verdicts]]] += 1
    return chosen
