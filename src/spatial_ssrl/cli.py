"""The commands. Each one parses, calls, prints, and names the next command; nobody imports this file."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spatial_ssrl.errors import SpatialSSRLError

if TYPE_CHECKING:
    from spatial_ssrl.audit import Audit
    from spatial_ssrl.build import Cost, Report

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
Progress = Callable[[int, int], None]
Engine = Literal["local", "ray"]


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
    results = {name: _evaluate(str(m), data, out / "eval" / name, max_new_tokens=48) for name, m in models.items()}
    _print_results(results)
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
    engine: Annotated[
        Engine, typer.Option(help="Where shards are made: processes here, or tasks of a Ray cluster.")
    ] = "local",
    address: Annotated[str, typer.Option(help="Ray cluster: HOST:PORT, auto, or local to start one here.")] = "local",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, and what it would take by a few rows drawn; write nothing.")
    ] = False,
) -> None:
    """Make puzzles from images: parquet rows with answers that can be verified."""
    flags = {"sources": tuple(sources) if sources else None, "n": n, "seed": seed, "profile": profile}
    if dry_run:
        return _print_plan(recipe, flags, workers)
    _build(recipe, flags, out, workers, strict_inputs=strict_inputs, engine=engine, address=address)
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
) -> None:
    """Cold start: supervised training on right answers in the right form."""
    _print_trained(_train("sft", preset, data, out, {"model": model}), data, out)


@train_app.command()
def grpo(
    preset: Annotated[Path, typer.Argument(metavar="PRESET", help="TOML preset, such as recipes/train/*.toml.")],
    data: Annotated[Path, typer.Option(help="Dataset folder of `spatial-ssrl build`.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the model.")],
    model: Annotated[str | None, typer.Option(help="Model folder or hub name; overrides the preset.")] = None,
) -> None:
    """Reinforcement learning with verifiable rewards (GRPO)."""
    _print_trained(_train("grpo", preset, data, out, {"model": model}), data, out)


@app.command("eval")
def evaluate(
    model: Annotated[str, typer.Argument(help="Model folder or hub name.")],
    data: Annotated[Path, typer.Option(help="Dataset folder of `spatial-ssrl build`.")],
    out: Annotated[Path, typer.Option(help="Folder for replies and scores.")],
    split: Annotated[str, typer.Option(help="Split to ask.")] = "test",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 2048,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only the first rows.")] = None,
) -> None:
    """Accuracy on held-out rows, with intervals, greedy decoding."""
    results = _evaluate(model, data, out, split=split, max_new_tokens=max_new_tokens, limit=limit)
    _print_results({model: results})
    print(f"\nscores in {out}/results.json, replies in {out}/replies.jsonl")


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

    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), rate, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None, rate="")

        def update(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.0f}/s" if speed else "")

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


def _build(recipe: Path | None, flags: dict[str, Any], out: Path, workers: int, **settings: Any) -> None:
    from spatial_ssrl import build as room

    wanted, command = room.Recipe.create(recipe, flags), shlex.join(["spatial-ssrl", *sys.argv[1:]])
    with _progress("building rows", "the same command goes on where it stopped") as progress:
        report = room.build(wanted, out, workers, command, progress, **settings)
    _print_build(report)
    print(f"{report.rows} rows in {out}")


def _print_plan(recipe: Path | None, flags: dict[str, Any], workers: int) -> None:
    """The rows of a build by variant and split, and its time and size as far as a few rows tell."""
    from spatial_ssrl import build as room

    plan = room.Plan.create(room.Recipe.create(recipe, flags))
    found, splits = room.estimate(plan), list(plan.recipe.splits)
    rows = [
        [entry.name, *(f"{plan.quotas.get((split, entry), 0):,}" for split in splits), *_cost_cells(found.costs[entry])]
        for entry in plan.entries
    ]
    _print_table(["task", *splits, "drawn", "CPU ms a row", "kB a row"], rows)
    if plan.unserved:
        print(f"left out, since no source has depth: {', '.join(entry.name for entry in plan.unserved)}")
    copies = f" ({len(plan.copies)} copies left out)" if plan.copies else ""
    print(f"{plan.rows:,} rows in {plan.shards:,} shards from {len(plan.refs):,} scenes{copies}")
    minutes = found.seconds / 60
    print(
        f"about {found.bytes / 1e6:,.0f} MB, {minutes:,.1f} minutes of CPU: {minutes / workers:,.1f} with {workers} workers"
    )


def _cost_cells(cost: "Cost") -> list[str]:
    drawn = f"{cost.rows} of {cost.draws}"
    return (
        [drawn, f"{1000 * cost.seconds / cost.rows:.1f}", f"{cost.bytes / cost.rows / 1000:.0f}"]
        if cost.rows
        else [drawn, "", ""]
    )


def _train(stage: str, preset: Path, data: Path, out: Path, flags: dict[str, Any]) -> Path:
    from spatial_ssrl.train import Preset, train

    print(f"training ({stage}) in {out}")
    with _resumable("the same command goes on from the last checkpoint"):
        return train(Preset.create(preset, {**flags, "stage": stage}), data, out)


def _print_trained(model: Path, data: Path, out: Path) -> None:
    print(f"model in {model}\nnext: spatial-ssrl eval {model} --data {data} --out {out}/eval")


def _evaluate(model: str, data: Path, out: Path, **settings: Any) -> dict[str, Any]:
    from spatial_ssrl.evaluate import evaluate

    with _progress("asking rows", "the same command goes on where it stopped") as progress:
        return evaluate(model, data, out, progress=progress, **settings)


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
        lacking = ", ".join(f"{name} {n}{_commonest(manifest['drops'].get(name, {}))}" for name, n in short.items())
        print(f"rows that the scenes of {split} could not give: {lacking} (more images, or another rows_per_scene, would)")
    if manifest["unserved"]:
        print(f"left out, since no source has depth: {', '.join(manifest['unserved'])}")


def _commonest(drops: dict[str, int]) -> str:
    return f", mostly {max(drops, key=drops.__getitem__)}" if drops else ""


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


def _print_results(results: dict[str, dict[str, Any]]) -> None:
    """Accuracy of each model by task, with its interval and the rate of replies without an answer."""
    first = next(iter(results.values()))
    groups = [(f"{s['task']}/{s['variant']}", i) for i, s in enumerate(first["scores"])]
    rows = [[name, *_score_cells([r["scores"][i] for r in results.values()])] for name, i in groups]
    rows.append(["all", *_score_cells([r["overall"] for r in results.values()])])
    _print_table(["task", "rows", "chance %", *(f"{name} % (95%), unparsed" for name in results)], rows)


def _score_cells(scores: list[dict[str, float]]) -> list[str]:
    cells = [
        f"{100 * s['accuracy']:.1f} ({100 * s['low']:.1f} to {100 * s['high']:.1f}) {100 * s['unparsed']:3.0f}%"
        for s in scores
    ]
    return [str(scores[0]["n"]), f"{100 * scores[0]['chance']:.1f}", *cells]


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
