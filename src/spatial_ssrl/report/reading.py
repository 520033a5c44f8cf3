"""Reading a run's JSON files, and the order in which splits, stages and models are shown."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spatial_ssrl.errors import DatasetError

Json = dict[str, Any]

NAMES = {"base": "Base", "cold-start": "Cold start", "grpo": "GRPO"}
"""Models and stages that the pipeline makes, in its order; each has a colour of its own."""
ALL = "All rows"
SPLITS = ("train", "validation", "test")


def read_json(path: Path, keys: Iterable[str]) -> Json:
    """A JSON object with these keys. Raises DatasetError when the file holds none."""
    try:
        return check(json.loads(path.read_text(encoding="utf-8")), keys, path)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is damaged: {error}; write it again") from None


def check(content: Any, keys: Iterable[str], path: Path) -> Json:
    """The content, when it is an object with these keys. Raises DatasetError when it is not."""
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise DatasetError(f"{path} is damaged: it lacks {', '.join(missing)}; write it again")
    return dict(content)


def pipeline_order(name: str) -> tuple[int, str]:
    """Sorts models: those of the pipeline first, as they come about."""
    return (list(NAMES).index(name) if name in NAMES else len(NAMES), name)


def split_order(name: str) -> tuple[int, str]:
    """Sorts splits: train, validation, test, then others."""
    return (SPLITS.index(name) if name in SPLITS else len(SPLITS), name)


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage: 0.6667 as 66.7%."""
    return f"{100 * share:.{digits}f}%"
