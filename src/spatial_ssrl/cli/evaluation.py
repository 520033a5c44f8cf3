"""The commands that evaluate: eval, and what is made of its results."""

import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spatial_ssrl.cli.console import folder_here, print_table, progress_bar

if TYPE_CHECKING:
    from spatial_ssrl.evaluate import Benchmark, Results, Settings
    from spatial_ssrl.evaluate.backends import Backend
    from spatial_ssrl.evaluate.results import Score

app = typer.Typer()

LONGEST_ERROR = 300


class Backends(StrEnum):
    """What runs a model in this process."""

    transformers = "transformers"
    vllm = "vllm"


class Policies(StrEnum):
    """How replies are read."""

    robust = "robust"
    official = "official"
    reference = "reference"


class Modes(StrEnum):
    """How questions are put."""

    reasoning = "reasoning"
    direct = "direct"
    both = "both"

    @property
    def each(self) -> list[Literal["reasoning", "direct"]]:
        """One prompt at a time."""
        return [one for one in ("reasoning", "direct") if self in (one, "both")]


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Argument(help="Model folder or hub name; with --base-url the server's name for it.")],
    out: Annotated[Path, typer.Option(help="Folder for replies and scores.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", parser=folder_here, help="Dataset folder of `spatial-ssrl build`, to ask its rows."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the dataset to ask.")] = "test",
    suite: Annotated[str, typer.Option(help="Benchmarks: spatial, general, all, or names, or name=table; commas.")] = "",
    tables: Annotated[Path, typer.Option(help="Folder with the benchmarks' tables.")] = Path("benchmarks"),
    download: Annotated[bool, typer.Option("--download", help="Fetch what --tables lacks from the Hub.")] = False,
    base_url: Annotated[str | None, typer.Option(help="OpenAI-compatible server, such as http://localhost:8000/v1.")] = None,
    backend: Annotated[Backends, typer.Option(help="What runs the model where no server does.")] = Backends.transformers,
    mode: Annotated[Modes, typer.Option(help="Prompt.")] = Modes.reasoning,
    policy: Annotated[Policies, typer.Option(help="How replies are read; stored ones need no model.")] = Policies.robust,
    samples: Annotated[int, typer.Option(min=1, help="Replies to each question.")] = 1,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the first sample.")] = 0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 2048,
    frames: Annotated[int, typer.Option(min=1, max=128, help="Most frames of a video.")] = 128,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first questions.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Ask again where an error is stored.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests to the server at a time.")] = 16,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that a request may take.")] = 600,
    batch_size: Annotated[int, typer.Option(min=1, help="transformers: questions at a time.")] = 32,
    max_model_len: Annotated[int | None, typer.Option(min=1, help="vLLM: longest prompt and reply, in tokens.")] = None,
    tensor_parallel: Annotated[int, typer.Option(min=1, help="vLLM: GPUs that share the model.")] = 1,
) -> None:
    """Accuracy on held-out rows and on benchmarks, with intervals."""
    from spatial_ssrl.evaluate import Settings
    from spatial_ssrl.evaluate.backends import Decoding
    from spatial_ssrl.evaluate.suite import left_out, plan

    if samples > 1 and not temperature:
        raise typer.BadParameter("several samples need --temperature above 0; greedy replies are all the same")
    planned = plan(suite, tables, data, split, download)
    if absent := left_out(suite, tables):
        print(f"left out, since {tables} holds no table of them: {', '.join(absent)}", file=sys.stderr)
    unread = [benchmark.title for benchmark, _ in planned if not benchmark.official_reads_boxes]
    if policy is Policies.official and mode is not Modes.direct and unread:
        said = f"the official rules of {', '.join(unread)} do not look into the box that the reasoning prompt asks for"
        print(f"warning: {said}: such replies score 0; take --mode direct, or --policy robust", file=sys.stderr)
    engine = {"max_model_len": max_model_len, "tensor_parallel_size": tensor_parallel}
    source = _open_backend(model, base_url, backend, (concurrency, timeout), batch_size, engine)
    decoding = Decoding(max_new_tokens, temperature, seed, frames)
    alone = len(planned) == 1 and data is not None and mode is not Modes.both
    found = {}
    for benchmark, path in planned:
        for one in mode.each:
            settings = Settings(one, policy.value, decoding, samples, limit, retry_failed)
            folder = out if alone else out / benchmark.name / one
            found[f"{benchmark.name}, {one}"] = run_benchmark(benchmark, path, source, folder, settings)
    for results in found.values():
        print_scores({model: results})
    _print_figures(found)
    print(f"\nscores in {out}/{'' if alone else '*/*/'}results.json, replies beside them")


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Folder of `spatial-ssrl eval`.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Folder of the same benchmarks, of another model.")],
) -> None:
    """Do two models differ? Paired differences with intervals, exact tests, and what could have been found."""
    from spatial_ssrl.evaluate.compare import compare as differences

    rows = [
        [
            f"{d.benchmark}: {d.metric}",
            str(d.units),
            f"{100 * d.first:.2f}",
            f"{100 * d.second:.2f}",
            f"{100 * d.difference:+.2f} ({100 * d.low:+.1f} to {100 * d.high:+.1f})",
            "" if d.p is None else f"{d.p:.2g}",
            f"{d.gained}, {d.lost}",
            f"{100 * d.detectable:.1f}",
            f"{100 * d.unparsed[0]:.1f}, {100 * d.unparsed[1]:.1f}",
        ]
        for d in differences(first, second)
    ]
    head = ["metric", "units", "A %", "B %", "B - A (95%)", "p", "won, lost", "detectable", "unparsed %"]
    print_table(head, rows)
    print("p: McNemar's exact test; won, lost: units that only B, only A has right")
    print("detectable: the smallest true difference, in points, that such a comparison finds with 80% power at 5%")


@app.command()
def table(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of `spatial-ssrl eval`, one a model.")],
    paper: Annotated[bool, typer.Option("--paper", help="With the published rows of Spatial-SSRL.")] = False,
    tex: Annotated[bool, typer.Option("--latex", help="LaTeX instead of Markdown.")] = False,
) -> None:
    """Headline figures of models as a table."""
    from spatial_ssrl.evaluate import tables

    write = tables.latex if tex else tables.markdown
    found = tables.read_runs(runs)
    print(write(*tables.headline_table(found, paper)), end="")
    if paper:
        print("\n" + write(*tables.gains_table(found)), end="")


@app.command()
def page(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN [RUN]", help="Folders with the results of one benchmark.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("replies.html"),
    limit: Annotated[int, typer.Option(min=1, help="Most questions shown.")] = 200,
) -> None:
    """Questions with picture, prompt, reply, extraction and verdict; of two runs, where they disagree."""
    from spatial_ssrl.evaluate.page import write_page

    print(f"page: {write_page(runs, out, limit)}")


@app.command()
def figure(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of `spatial-ssrl eval`, one a model.")],
    out: Annotated[Path, typer.Option(help="SVG, PDF or PNG file to write.")],
    bars: Annotated[str | None, typer.Option(help="Categories of this benchmark; without it, a radar of all.")] = None,
) -> None:
    """Headlines of models as a radar, or the categories of one benchmark as bars."""
    from spatial_ssrl.evaluate import figures, tables

    found = tables.read_runs(runs)
    print(f"figure: {figures.write_bars(found, bars, out) if bars else figures.write_radar(found, out)}")


def _open_backend(
    model: str,
    base_url: str | None,
    backend: Backends,
    requests: tuple[int, float],
    batch_size: int,
    engine: dict[str, int | None],
) -> "Backend":
    """What answers: a server (requests at a time, time-out), transformers, or vLLM with settings of its engine."""
    from spatial_ssrl.evaluate.backends.local import Local
    from spatial_ssrl.evaluate.backends.server import Server
    from spatial_ssrl.evaluate.backends.vllm import InProcess

    if base_url:
        return Server(model, base_url, *requests)
    return Local(model, batch_size) if backend is Backends.transformers else InProcess(model, **engine)


def run_benchmark(benchmark: "Benchmark", path: Path, source: "Backend", out: Path, settings: "Settings") -> "Results":
    """Ask a benchmark with a progress bar, and say what went wrong."""
    from spatial_ssrl.evaluate import evaluate
    from spatial_ssrl.evaluate.run import read_verdicts

    with progress_bar(f"asking {benchmark.name}", "the same command goes on where it stopped") as progress:
        results = evaluate(benchmark, path, source, out, settings, progress)
    for warning in results.data.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if results.errors:
        said, _ = Counter(v.error for v in read_verdicts(out) if v.error).most_common(1)[0]
        print(f"{results.errors} replies are errors and count as wrong; --retry-failed asks them again", file=sys.stderr)
        print(f"the most common error: {said[:LONGEST_ERROR]}", file=sys.stderr)
    return results


def print_scores(results: dict[str, "Results"]) -> None:
    """Accuracy of each model by category, with its interval and the rate of replies without an answer."""
    first = next(iter(results.values()))
    lines = [[r.overall, *r.scores] for r in results.values()]
    rows = [[scores[0].name, *_score_cells(scores)] for scores in zip(*lines, strict=True)]
    head = [f"{first.benchmark}, {first.mode}", "rows", "chance %", *(f"{name} % (95%), unparsed" for name in results)]
    print_table(head, rows[1:] + rows[:1])


def _score_cells(scores: tuple["Score", ...]) -> list[str]:
    cells = [f"{100 * s.accuracy:.1f} ({100 * s.low:.1f} to {100 * s.high:.1f}) {100 * s.unparsed:3.0f}%" for s in scores]
    return [str(scores[0].n), f"{100 * scores[0].chance:.1f}", *cells]


def _print_figures(found: dict[str, "Results"]) -> None:
    """The metrics of each benchmark, the headline first."""
    rows = [
        [
            name,
            metric.name,
            f"{100 * metric.value:.2f} ({100 * metric.low:.1f} to {100 * metric.high:.1f})",
            "" if metric.spread is None else f"{100 * metric.spread:.2f}",
            f"{100 * results.overall.unparsed:.1f}",
        ]
        for name, results in found.items()
        for metric in results.metrics
    ]
    print_table(["benchmark", "metric", "% (95%)", "spread over samples", "unparsed %"], rows)
