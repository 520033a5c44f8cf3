"""The commands. Each one parses, calls, prints, and names the next command; nobody imports this file."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spatial_ssrl.config import parse_flags
from spatial_ssrl.errors import SpatialSSRLError

if TYPE_CHECKING:
    from spatial_ssrl.audit import Audit
    from spatial_ssrl.build import Report
    from spatial_ssrl.evaluate import Benchmark, Results, Settings
    from spatial_ssrl.evaluate.backends import Backend
    from spatial_ssrl.evaluate.results import Score

app = typer.Typer(
    help="Spatial puzzles from ordinary images; models trained on them; the gain, measured.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
train_app = typer.Typer(help="Train a model: cold start (sft), then reinforcement learning (grpo).", no_args_is_help=True)
app.add_typer(train_app, name="train")

INTERRUPTED = 130
GATE_FAILED = 1
TABLE_WIDTH = 120
Progress = Callable[..., None]
"""Gets what is done, what there is to do, and perhaps a note."""


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


def main() -> None:
    """Run the command line; errors of ours and of the system end in a message and status 2."""
    try:
        app()
    except SpatialSSRLError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


@app.command()
def demo(
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE...]", help="Images; built-in scenes if none.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for data, models, scores and report.")] = Path("runs/demo"),
    n: Annotated[int | None, typer.Option(min=1, help="Rows.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="At most this many steps in each stage of training.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that build rows.")] = os.cpu_count() or 1,
) -> None:
    """The whole loop on one machine: build, cold start, GRPO, evaluation, report."""
    from spatial_ssrl import vlm
    from spatial_ssrl.evaluate import Settings
    from spatial_ssrl.evaluate.backends import Decoding
    from spatial_ssrl.evaluate.backends.local import Local
    from spatial_ssrl.evaluate.benchmarks.pretext import Pretext
    from spatial_ssrl.presets import shipped
    from spatial_ssrl.row import split_files

    vlm.require("train", "torch", "torchvision", "transformers", "trl", "peft", "accelerate", "datasets")
    vlm.require("report", "jinja2")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a second thread slows a model of this size down
    data = out / "data"
    _build(shipped("demo"), {"sources": tuple(sources) if sources else None, "n": n}, data, workers)
    for split in ("train", "validation", "test"):
        split_files(data, split)  # an empty one is told now, not after training
    cap = {"trainer": {"max_steps": steps}} if steps else {}
    start = _train("sft", shipped("tiny-sft"), data, out / "cold-start", cap)
    end = _train("grpo", shipped("tiny-grpo"), data, out / "grpo", {"model": str(start), **cap})
    models = {"base": out / "cold-start" / "base", "cold-start": start, "grpo": end}
    settings = Settings(decoding=Decoding(max_new_tokens=48))
    results = {
        name: _run_benchmark(Pretext(), data, Local(str(m)), out / "eval" / name, settings) for name, m in models.items()
    }
    _print_scores(results)
    report(out, out / "report.html")


@app.command()
def build(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE...", help="A folder of images, or layout:path; see `spatial-ssrl sources`."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the dataset.")] = Path("puzzles"),
    recipe: Annotated[Path | None, typer.Option(help="TOML recipe; the options below override it.")] = None,
    n: Annotated[int | None, typer.Option(help="Rows in all splits together.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all draws.")] = None,
    profile: Annotated[str | None, typer.Option(help="How puzzles are made.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    strict_inputs: Annotated[
        bool, typer.Option("--strict-inputs", help="Stop at the first file that cannot be used.")
    ] = False,
) -> None:
    """Make puzzles from images: parquet rows with answers that can be verified."""
    flags = {"sources": tuple(sources) if sources else None, "n": n, "seed": seed, "profile": profile}
    _build(recipe, flags, out, workers, strict_inputs)
    print(f"next: spatial-ssrl report {out} --out {out}/report.html")


@app.command("sources")
def list_sources() -> None:
    """The layouts that build reads: what they hold, the files they need, their options."""
    from spatial_ssrl.sources import SOURCES

    rows = [
        [
            f"{name}:NUMBER" if name == "synthetic" else f"{name}:PATH",
            f"pictures, depth ({kind.unit})" if kind.unit else "pictures",
            kind.looked_for + (f"; extra {kind.extra}" if kind.extra else ""),
            "\n".join(f"{option}={default}" for option, default in kind.options().items()),
        ]
        for name, kind in SOURCES.items()
    ]
    _print_table(["source", "holds", "files", "options (defaults)"], rows, align="left")
    print("SOURCE: PATH, URL, or layout:PATH?option=value&option=value; see docs/sources.md")


@app.command()
def audit(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="Dataset folder of `spatial-ssrl build`.")],
    against: Annotated[
        Path | None, typer.Option(help="Images that must not occur: a folder, or parquet files with an image column.")
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="End with status 1, and name why, when the rows do not hold.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file to write; DIR/audit.json if not given.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows of each variant that the solvers are asked.")] = 1000,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
) -> None:
    """Can a trivial solver pass the puzzles? Are answers decided, balanced and clean?"""
    from spatial_ssrl import audit as room

    command = shlex.join(["spatial-ssrl", *sys.argv[1:]])
    settings: dict[str, Any] = {"against": against, "limit": limit, "workers": workers, "command": command}
    with _progress("examining rows", "start again with a smaller --limit to be done sooner") as progress:
        found = room.audit(data, **settings, progress=progress)
    found.write(out or data / "audit.json")
    _print_audit(found)
    print(f"audit in {out or data / 'audit.json'}")
    if gate and found.failures:
        raise SystemExit(GATE_FAILED)


@app.command()
def export(
    data: Annotated[Path, typer.Argument(metavar="DIR", help="Dataset folder of `spatial-ssrl build`.")],
    to: Annotated[str, typer.Option(help="Trainer: trl, verl, easyr1, swift, llamafactory; or webdataset.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    images: Annotated[
        str | None, typer.Option(help="embedded in the rows, or paths of files; what suits the trainer if not given.")
    ] = None,
    instruction: Annotated[
        str, typer.Option(help="How prompts end: think (reason, then box), boxed (box alone), or none.")
    ] = "think",
) -> None:
    """Write rows in the form that another trainer reads, with the reward in its form."""
    from spatial_ssrl import export as room

    with _progress("exporting rows", "give the same command again; nothing half-written was left") as progress:
        done = room.export(data, to, out, images=images, instruction=instruction, progress=progress)
    print(f"{sum(done.rows.values())} rows ({', '.join(done.rows)}) in {out}\nnext: {done.command}")


@train_app.command()
def sft(
    preset: Annotated[Path, typer.Argument(metavar="PRESET", help="TOML preset, such as recipes/train/*.toml.")],
    data: Annotated[Path, typer.Option(help="Dataset folder of `spatial-ssrl build`.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the model.")],
    model: Annotated[str | None, typer.Option(help="Model folder or hub name; overrides the preset.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key of the preset, such as trainer.seed=1.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run, and an estimate; run nothing.")] = False,
) -> None:
    """Cold start: supervised training on right answers in the right form."""
    _train_or_plan("sft", preset, data, out, {"model": model, **parse_flags(changes or [])}, dry_run)


@train_app.command()
def grpo(
    preset: Annotated[Path, typer.Argument(metavar="PRESET", help="TOML preset, such as recipes/train/*.toml.")],
    data: Annotated[Path, typer.Option(help="Dataset folder of `spatial-ssrl build`.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the model.")],
    model: Annotated[str | None, typer.Option(help="Model folder or hub name; overrides the preset.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key of the preset, such as trainer.seed=1.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run, and an estimate; run nothing.")] = False,
    engine: Annotated[str, typer.Option(help="trl, or verl on a Ray cluster.")] = "trl",
    nodes: Annotated[int, typer.Option(min=1, help="Machines of the cluster, on which verl spreads the preset's gpus.")] = 1,
) -> None:
    """Reinforcement learning with verifiable rewards (GRPO)."""
    flags = {"model": model, **parse_flags(changes or [])}
    if _known_engine(engine) == "verl":
        _verl(preset, data, out, flags, nodes, dry_run)
    else:
        _train_or_plan("grpo", preset, data, out, flags, dry_run)


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Argument(help="Model folder or hub name; with --base-url the server's name for it.")],
    out: Annotated[Path, typer.Option(help="Folder for replies and scores.")],
    data: Annotated[Path | None, typer.Option(help="Dataset folder of `spatial-ssrl build`, to ask its rows.")] = None,
    split: Annotated[str, typer.Option(help="Split of the dataset to ask.")] = "test",
    suite: Annotated[str, typer.Option(help="Benchmarks: spatial, general, all, or names, or name=table; commas.")] = "",
    tables: Annotated[Path, typer.Option(help="Folder with the benchmarks' tables.")] = Path("benchmarks"),
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
) -> None:
    """Accuracy on held-out rows and on benchmarks, with intervals."""
    from spatial_ssrl.evaluate import Settings
    from spatial_ssrl.evaluate.backends import Decoding
    from spatial_ssrl.evaluate.suite import left_out, plan

    if samples > 1 and not temperature:
        raise typer.BadParameter("several samples need --temperature above 0; greedy replies are all the same")
    planned = plan(suite, tables, data, split)
    if absent := left_out(suite, tables):
        print(f"left out, since {tables} holds no table of them: {', '.join(absent)}", file=sys.stderr)
    source = _open_backend(model, base_url, backend, concurrency, timeout)
    decoding = Decoding(max_new_tokens, temperature, seed, frames)
    alone = len(planned) == 1 and data is not None and mode is not Modes.both
    found = {}
    for benchmark, path in planned:
        for one in mode.each:
            settings = Settings(one, policy.value, decoding, samples, limit, retry_failed)
            folder = out if alone else out / benchmark.name / one
            found[f"{benchmark.name}, {one}"] = _run_benchmark(benchmark, path, source, folder, settings)
    for results in found.values():
        _print_scores({model: results})
    _print_figures(found)
    print(f"\nscores in {out}/{'' if alone else '*/*/'}results.json, replies beside them")


def _open_backend(model: str, base_url: str | None, backend: "Backends", concurrency: int, timeout: float) -> "Backend":
    from spatial_ssrl.evaluate.backends.local import Local
    from spatial_ssrl.evaluate.backends.server import Server
    from spatial_ssrl.evaluate.backends.vllm import InProcess

    if base_url:
        return Server(model, base_url, concurrency, timeout)
    return Local(model) if backend is Backends.transformers else InProcess(model)


def _run_benchmark(benchmark: "Benchmark", path: Path, source: "Backend", out: Path, settings: "Settings") -> "Results":
    from spatial_ssrl.evaluate import evaluate

    with _progress(f"asking {benchmark.name}", "the same command goes on where it stopped") as progress:
        results = evaluate(benchmark, path, source, out, settings, progress)
    for warning in results.data.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if results.errors:
        print(f"{results.errors} replies are errors and count as wrong; --retry-failed asks them again", file=sys.stderr)
    return results


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
            f"{100 * d.difference:+.2f}",
            f"{100 * d.low:+.1f} to {100 * d.high:+.1f}",
            "" if d.p is None else f"{d.p:.2g}",
            f"{d.gained}, {d.lost}",
            f"{100 * d.detectable:.1f}",
        ]
        for d in differences(first, second)
    ]
    _print_table(["metric", "units", "A %", "B %", "B - A", "95%", "McNemar p", "gained, lost", "detectable"], rows)
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
    print(write(*tables.headline_table(tables.read_runs(runs), paper)), end="")
    if paper and not tex:
        _print_gains()


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


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or of a dataset.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
) -> None:
    """One self-contained HTML page about a run: rows, drops, training curves, results."""
    from spatial_ssrl.report import write_report

    print(f"report: {write_report(run, out)}")


@contextmanager
def _progress(what: str, remedy: str) -> Iterator[Progress]:
    """A progress bar with rate and time left, that can be interrupted."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    rate, said = TextColumn("{task.fields[rate]}"), TextColumn("{task.fields[note]}")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), rate, TimeElapsedColumn(), TimeRemainingColumn(), said)
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, rate="", note="")

        def update(done: int, total: int, note: str = "") -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.3g}/s" if speed else "", note=note)

        with _resumable(remedy):
            yield update


@contextmanager
def _resumable(remedy: str) -> Iterator[None]:
    """An interrupt prints the remedy and ends with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\ninterrupted; {remedy}", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def _build(recipe: Path | None, flags: dict[str, Any], out: Path, workers: int, strict_inputs: bool = False) -> None:
    from spatial_ssrl import build as room

    wanted, command = room.Recipe.create(recipe, flags), shlex.join(["spatial-ssrl", *sys.argv[1:]])
    with _progress("building rows", "the same command goes on where it stopped") as progress:
        report = room.build(wanted, out, workers, command, progress, strict_inputs)
    _print_build(report)
    print(f"{report.rows} rows in {out}")


def _train(stage: str, preset: Path, data: Path, out: Path, flags: dict[str, Any]) -> Path:
    from spatial_ssrl.train import Preset, train

    print(f"training ({stage}) in {out}")
    with _resumable("the same command goes on from the last checkpoint"):
        return train(Preset.create(preset, {**flags, "stage": stage}), data, out)


def _train_or_plan(stage: str, file: Path, data: Path, out: Path, flags: dict[str, Any], dry_run: bool) -> None:
    if dry_run:
        _print_plan(stage, file, data, out, flags)
    else:
        _print_trained(_train(stage, file, data, out, flags), data, out)


def _known_engine(name: str) -> str:
    if name not in ("trl", "verl"):
        _fail(f"--engine {name}: unknown; known: trl, verl; `spatial-ssrl export` serves other trainers")
    return name


def _verl(file: Path, data: Path, out: Path, flags: dict[str, Any], nodes: int, dry_run: bool) -> None:
    """Export the rows into OUT/data and have verl train on them, or print the command that would."""
    from spatial_ssrl.export import export
    from spatial_ssrl.row import split_files
    from spatial_ssrl.train import Preset, verl

    preset = Preset.create(file, {**flags, "stage": "grpo"})
    split_files(data, "validation")
    values = verl.overrides(preset, (out / "data").absolute(), out.absolute(), nodes)
    if dry_run:
        print(shlex.join(verl.command(values)))
        return
    instruction = "boxed" if preset.reply == "boxed" else "think"
    with _progress("exporting rows", "give the same command again") as progress:
        export(data, "verl", out / "data", instruction=instruction, progress=progress)
    with _resumable("the same command goes on from verl's last checkpoint"):
        verl.launch(values, out)
    print(f"checkpoints in {out}/checkpoints; `python -m verl.model_merger merge` makes a model folder of one")


def _print_plan(stage: str, file: Path, data: Path, out: Path, flags: dict[str, Any]) -> None:
    """The preset as it is after all flags, what a run of it would be, and the commands that start it."""
    from spatial_ssrl.train import Preset
    from spatial_ssrl.train.estimate import ASSUMED, GIB
    from spatial_ssrl.train.plan import plan

    preset = Preset.create(file, {**flags, "stage": stage})
    found = plan(preset, data, out)
    print(preset.model_dump_json(indent=2, exclude_none=True))
    print(f"{found.rows} rows, {found.steps} updates of {found.loads[1].batch} {'replies' if stage == 'grpo' else 'rows'}")
    print(
        f"prompts of {found.prompt:.0f} tokens (at most {found.longest_prompt}), replies of {found.reply:.0f}, by estimate"
    )
    rows = [
        [
            str(gpus),
            f"{sum(load.memory().values()) / GIB:.0f}",
            ", ".join(f"{part} {size / GIB:.1f}" for part, size in load.memory().items()),
            f"{found.steps * sum(load.seconds().values()) / 3600:.1f}",
            ", ".join(f"{part} {seconds:.1f}" for part, seconds in load.seconds().items()),
        ]
        for gpus, load in found.loads.items()
    ]
    _print_table(["GPUs", "GiB each", "of which", "hours", "seconds an update"], rows, align="left")
    print(f"an estimate, by the arithmetic of train/estimate.py; assumed: {ASSUMED}")
    many = "ddp-8gpu" if preset.lora else "fsdp2-8gpu"
    words = shlex.join(word for word in sys.argv[1:] if word != "--dry-run")
    print(f"1 GPU:  spatial-ssrl {words}")
    print(f"8 GPUs: accelerate launch --config_file recipes/accelerate/{many}.yaml -m spatial_ssrl.cli {words}")


def _print_trained(model: Path, data: Path, out: Path) -> None:
    print(f"model in {model}\nnext: spatial-ssrl eval {model} --data {data} --out {out}/eval")


def _print_build(report: "Report") -> None:
    manifest = report.manifest
    splits = [split for split in manifest["recipe"]["splits"] if split in manifest["counts"]]
    names = sorted({name for counts in manifest["counts"].values() for name in counts})
    rows = [[name, *(str(manifest["counts"][s].get(name, 0)) for s in splits)] for name in names]
    _print_table(["task", *splits], rows)
    for name, reasons in manifest["drops"].items():
        print(f"dropped draws of {name}: " + ", ".join(f"{reason} ({n})" for reason, n in reasons.items()))
    if manifest["skipped"]:
        first = next(iter(manifest["skipped"].items()))
        print(
            f"skipped files: {len(manifest['skipped'])}, such as {first[0]} ({first[1]}); all in {report.out}/manifest.json"
        )
    for split, short in manifest["short"].items():
        lacking = ", ".join(f"{name} {n}" for name, n in short.items())
        print(f"rows that the scenes of {split} could not give: {lacking} (more images, or another rows_per_scene, would)")
    if manifest["unserved"]:
        print(f"left out, since no source has depth: {', '.join(manifest['unserved'])}")


def _print_audit(found: "Audit") -> None:
    """Every solver by variant, the strongest first, then duplicates, balance, margins and what fails the gate."""
    rows = [
        [
            f"{line.task}/{line.variant}",
            f"{line.solver} ({line.head})",
            str(line.n),
            f"{100 * line.accuracy:.1f} ({100 * line.low:.1f} to {100 * line.high:.1f})",
            *(f"{100 * share:.1f}" for share in (line.chance, line.floor, line.gap, line.limit)),
        ]
        for line in found.lines
    ]
    _print_table(["task", "solver", "rows", "% right (95%)", "chance", "floor", "gap", "at most"], rows)
    margins = [(f"{m.task}/{m.variant}", m.threshold, m.smallest, m.percentile_5, m.median) for m in found.margins]
    _print_table(
        ["margins", "threshold", "smallest", "5%", "median"],
        [[name, *(f"{v:.3g}" for v in values)] for name, *values in margins],
    )
    same = found.duplicates
    print(f"near-duplicates among {same.compared} pictures: {same.within_splits} within splits, {same.across_splits} across")
    if found.contamination:
        print(f"pictures that also occur in the other collection: {found.contamination.across_splits}")
    for failure in found.failures:
        print(f"fails: {failure}")


def _print_scores(results: dict[str, "Results"]) -> None:
    """Accuracy of each model by category, with its interval and the rate of replies without an answer."""
    first = next(iter(results.values()))
    lines = [[r.overall, *r.scores] for r in results.values()]
    rows = [[scores[0].name, *_score_cells(scores)] for scores in zip(*lines, strict=True)]
    head = [first.benchmark, "rows", "chance %", *(f"{name} % (95%), unparsed" for name in results)]
    _print_table(head, rows[1:] + rows[:1])


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
    _print_table(["benchmark", "metric", "% (95%)", "spread over samples", "unparsed %"], rows)


def _print_gains() -> None:
    """The published gains against the noise of their sample sizes."""
    from spatial_ssrl.evaluate.paper import published_gains

    print("\npublished gains over the base, against sampling noise:")
    rows = [
        [f"{g.model}, {g.benchmark}", f"{g.points:+.2f}", f"{g.independent:.2f}", f"{g.best_p:.2g}", g.verdict]
        for g in published_gains()
    ]
    _print_table(["gain", "points", "95% half width, independent", "least p", "exceeds noise"], rows)


def _print_table(head: list[str], rows: list[list[str]], align: Literal["left", "right"] = "right") -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    table = Table(box=SIMPLE)
    for i, name in enumerate(head):
        table.add_column(name, justify=align if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main()
