"""Tables of results in Markdown and LaTeX, each figure with its interval and the unparsed rate beside it.

What was obtained otherwise than by default, and what must be known of the data, is told in notes under the table.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate.benchmarks import BENCHMARKS
from spatial_ssrl.evaluate.paper import COLUMNS, PUBLISHED, plain_mean, published_gains
from spatial_ssrl.evaluate.results import RESULTS, Results

Cells = list[list[str]]
GAINS_NOTE = (
    "exceeds noise at 5%: yes even if errors were independent, no even if the better model lost nothing, open where only "
    "the replies would tell; questions that share a picture are taken for independent, which makes noise look smaller"
)


def read_runs(folders: Sequence[Path]) -> dict[str, dict[str, Results]]:
    """Results of model folders, by the end of the folder's path that tells it from the others, and by benchmark.

    Raises DatasetError for a folder without any, or with several of one benchmark and prompt, such as those of two models.
    """
    runs: dict[str, dict[str, Results]] = {}
    for name, folder in _apart(folders).items():
        found = [Results.read(path.parent) for path in sorted(folder.rglob(RESULTS))]
        if not found:
            raise DatasetError(f"{folder} holds no {RESULTS}; evaluate a model with --out {folder} first")
        for results in found:
            modes = [r.mode for r in found if r.benchmark == results.benchmark]
            if modes.count(results.mode) > 1:
                said = f"{modes.count(results.mode)} results of {results.benchmark}, {results.mode}"
                raise DatasetError(f"{folder} holds {said}; name the folder of each model")
            label = name if len(modes) == 1 else f"{name}, {results.mode}"
            runs.setdefault(label, {})[results.benchmark] = results
    return runs


def _apart(folders: Sequence[Path]) -> dict[str, Path]:
    """Folders by as many last parts of their paths as tell them apart."""
    paths = list(dict.fromkeys(folder.resolve() for folder in folders))
    ends = ({"/".join(path.parts[-length:]): path for path in paths} for length in itertools.count(1))
    return next(named for named in ends if len(named) == len(paths))


def headline_table(runs: Mapping[str, Mapping[str, Results]], paper: bool = False) -> tuple[list[str], Cells, list[str]]:
    """Head, rows and notes: a row a model, a column a benchmark, in %; their plain mean beside all seven of the paper."""
    notes = list(dict.fromkeys(note for run in runs.values() for results in run.values() for note in _notes(results)))
    names = [name for name in BENCHMARKS if any(name in run for run in runs.values())]
    with_mean = set(COLUMNS) <= set(names)
    head = ["model", *(BENCHMARKS[name].title for name in names), *(["mean"] if with_mean else [])]
    rows = [[model, *(_cell(run.get(name), notes) for name in names)] for model, run in runs.items()]
    if with_mean:
        for row, run in zip(rows, runs.values(), strict=True):
            values = plain_mean({name: 100 * results.headline.value for name, results in run.items()})
            row.append("" if values is None else f"{values:.2f}")
    return head, rows + (_paper_rows(names, with_mean) if paper else []), notes


def gains_table(runs: Mapping[str, Mapping[str, Results]]) -> tuple[list[str], Cells, list[str]]:
    """Head, rows and notes: which of the paper's gains exceed noise. Raises MissingExtraError without scipy."""
    head = ["published gain", "points", "p if errors were independent", "p if nothing was lost", "exceeds noise"]
    rows = [
        [
            f"{gain.model}, {BENCHMARKS[gain.benchmark].title}",
            f"{gain.points:+.2f}",
            f"{gain.independent_p:.2g}",
            f"{gain.best_p:.2g}",
            gain.verdict,
        ]
        for gain in published_gains(runs)
    ]
    return head, rows, [GAINS_NOTE]


def _cell(results: Results | None, notes: Sequence[str]) -> str:
    if results is None:
        return ""
    figure, unparsed = results.headline, results.overall.unparsed
    limits = f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"
    spread = "" if figure.spread is None else f"; spread {100 * figure.spread:.2f} over {len(figure.samples)} samples"
    marks = "".join(f" [{notes.index(note) + 1}]" for note in _notes(results))
    return f"{100 * figure.value:.2f} ({limits}{spread}) {100 * unparsed:.1f}% unparsed{marks}"


def _notes(results: Results) -> list[str]:
    """What tells these results from those of the whole benchmark by default."""
    asked, whole = results.overall.n, results.data.questions
    return [
        *(["direct prompt"] if results.mode == "direct" else []),
        *([f"replies read by policy {results.policy}"] if results.policy != "robust" else []),
        *([f"the first {asked} of {whole} questions"] if asked < whole else []),
        *results.data.warnings,
    ]


def _paper_rows(names: Sequence[str], with_mean: bool) -> Cells:
    rows = []
    for model, known in PUBLISHED.items():
        cells = [f"{known[name]:.2f}" if name in known else "" for name in names]
        rows.append([f"{model} (published)", *cells, *([f"{plain_mean(known):.2f}"] if with_mean else [])])
    return rows


def markdown(head: Sequence[str], rows: Cells, notes: Sequence[str] = ()) -> str:
    """A Markdown table, with numbered notes under it."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    table = "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)
    return table + "".join(f"\n[{n}] {note}\n" for n, note in enumerate(notes, 1))


def latex(head: Sequence[str], rows: Cells, notes: Sequence[str] = ()) -> str:
    """A LaTeX tabular with booktabs rules, with numbered notes under it."""
    body = "".join(" & ".join(map(_escape, row)) + " \\\\\n" for row in rows)
    columns = "l" + "r" * (len(head) - 1)
    top = " & ".join(map(_escape, head))
    under = "".join(f"\\par\\footnotesize [{n}] {_escape(note)}\n" for n, note in enumerate(notes, 1))
    return (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{top} \\\\\n\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n{under}"
    )


def _escape(text: str) -> str:
    return "".join(f"\\{c}" if c in "%&$#_{}" else c for c in text)
