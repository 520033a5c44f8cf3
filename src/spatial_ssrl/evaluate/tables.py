"""Tables of results in Markdown and LaTeX, each figure with its interval and the unparsed rate beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate.benchmarks import BENCHMARKS
from spatial_ssrl.evaluate.paper import COLUMNS, PUBLISHED, plain_mean
from spatial_ssrl.evaluate.results import RESULTS, Results

Cells = list[list[str]]


def read_runs(folders: Sequence[Path]) -> dict[str, dict[str, Results]]:
    """Results of model folders, by the folder's name and the benchmark's. Raises DatasetError for a folder without any."""
    runs: dict[str, dict[str, Results]] = {}
    for folder in folders:
        found = [Results.read(path.parent) for path in sorted(folder.rglob(RESULTS))]
        if not found:
            raise DatasetError(f"{folder} holds no {RESULTS}; evaluate a model with --out {folder} first")
        for results in found:
            modes = {r.mode for r in found if r.benchmark == results.benchmark}
            name = folder.name if len(modes) == 1 else f"{folder.name}, {results.mode}"
            runs.setdefault(name, {})[results.benchmark] = results
    return runs


def headline_table(runs: Mapping[str, Mapping[str, Results]], paper: bool = False) -> tuple[list[str], Cells]:
    """Head and rows: one row a model, one column a benchmark, in %; their plain mean beside all seven of the paper."""
    names = [name for name in BENCHMARKS if any(name in run for run in runs.values())]
    with_mean = set(COLUMNS) <= set(names)
    head = ["model", *(BENCHMARKS[name].title for name in names), *(["mean"] if with_mean else [])]
    rows = [[model, *(_cell(run.get(name)) for name in names)] for model, run in runs.items()]
    if with_mean:
        for row, run in zip(rows, runs.values(), strict=True):
            values = plain_mean({name: 100 * results.headline.value for name, results in run.items()})
            row.append("" if values is None else f"{values:.2f}")
    return head, rows + (_paper_rows(names, with_mean) if paper else [])


def _cell(results: Results | None) -> str:
    if results is None:
        return ""
    figure, unparsed = results.headline, results.overall.unparsed
    limits = f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"
    return f"{100 * figure.value:.2f} ({limits}) {100 * unparsed:.1f}% unparsed"


def _paper_rows(names: Sequence[str], with_mean: bool) -> Cells:
    rows = []
    for model, known in PUBLISHED.items():
        cells = [f"{known[name]:.2f}" if name in known else "" for name in names]
        rows.append([f"{model} (published)", *cells, *([f"{plain_mean(known):.2f}"] if with_mean else [])])
    return rows


def markdown(head: Sequence[str], rows: Cells) -> str:
    """A Markdown table."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def latex(head: Sequence[str], rows: Cells) -> str:
    """A LaTeX tabular with booktabs rules."""
    body = "".join(" & ".join(map(_escape, row)) + " \\\\\n" for row in rows)
    columns = "l" + "r" * (len(head) - 1)
    top = " & ".join(map(_escape, head))
    return f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{top} \\\\\n\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n"


def _escape(text: str) -> str:
    return "".join(f"\\{c}" if c in "%&$#_{}" else c for c in text)
