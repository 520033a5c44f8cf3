"""Which benchmarks a command names, and where their tables lie."""

from pathlib import Path

from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate.benchmark import Benchmark
from spatial_ssrl.evaluate.benchmarks import ALL, BENCHMARKS, GENERAL, SPATIAL
from spatial_ssrl.evaluate.benchmarks.pretext import Pretext

GROUPS: dict[str, tuple[type[Benchmark], ...]] = {"spatial": SPATIAL, "general": GENERAL, "all": (*SPATIAL, *GENERAL)}

Planned = tuple[Benchmark, Path]


def plan(suite: str, folder: Path, data: Path | None, split: str, download: bool = False) -> list[Planned]:
    """The benchmarks of "spatial,mmbench,blink=path" with their tables; `pretext` is asked of `data`.

    A table that is not named is looked for in `folder`, and fetched where `download` is set; a group ("spatial", "general",
    "all") leaves out what is not there. Raises DatasetError for an unknown name, a missing table, or when nothing is left.
    """
    planned: list[Planned] = [(Pretext(split), data)] if data else []
    for item in _items(suite):
        name, _, path = item.partition("=")
        if name in GROUPS:
            planned += [(kind(), found) for kind in GROUPS[name] if (found := find(kind, folder, download))]
        elif name in BENCHMARKS and name != Pretext.name:
            planned.append((BENCHMARKS[name](), Path(path) if path else _must_find(BENCHMARKS[name], folder, download)))
        else:
            known = ", ".join([*GROUPS, *(kind.name for kind in ALL if kind is not Pretext)])
            raise DatasetError(f"no benchmark {name!r}; known: {known}; rows of your own are asked by --data")
    if not planned:
        raise DatasetError(f"nothing to ask: {folder} holds no table of {suite or 'any benchmark'}; see docs/evaluate.md")
    return planned


def left_out(suite: str, folder: Path) -> list[str]:
    """Titles of the benchmarks that the groups of a suite name and `folder` holds no table of."""
    kinds = [kind for item in _items(suite) for kind in GROUPS.get(item, ())]
    return [kind.title for kind in kinds if find(kind, folder) is None]


def find(kind: type[Benchmark], folder: Path, download: bool = False) -> Path | None:
    """The table of a benchmark in a folder, by the names under which it is known.

    With `download`, one that is not there, or was not fetched whole, comes from the Hub. Raises as Hub.fetch does.
    """
    found = next((folder / name for name in kind.files if any(folder.glob(name))), None)
    if download and kind.hub and (found is None or kind.hub.partial(folder)):
        kind.hub.fetch(folder)
        return find(kind, folder)
    return found


def _items(suite: str) -> list[str]:
    return [item.strip() for item in suite.split(",") if item.strip()]


def _must_find(kind: type[Benchmark], folder: Path, download: bool) -> Path:
    found = find(kind, folder, download)
    if found is None:
        hub = f", or --download to fetch {kind.hub.repo}" if kind.hub else "; it is not on the Hub"
        raise DatasetError(
            f"{folder} holds no table of {kind.title}; expected {' or '.join(kind.files)}, or --suite {kind.name}=PATH{hub}"
        )
    return found
