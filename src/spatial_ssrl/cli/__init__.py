"""The commands. Each one parses, calls, prints, and names the next command; nobody imports this room."""

import os
from pathlib import Path
from typing import Annotated

import typer

from spatial_ssrl.cli import evaluation, rows, training
from spatial_ssrl.cli.console import fail, folder_here
from spatial_ssrl.cli.evaluation import print_scores, run_benchmark
from spatial_ssrl.cli.rows import build_rows
from spatial_ssrl.cli.training import train_model
from spatial_ssrl.errors import SpatialSSRLError

app = typer.Typer(
    help="Spatial puzzles from ordinary images; models trained on them; the gain, measured.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(rows.app)
app.add_typer(training.app, name="train")
app.add_typer(evaluation.app)


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
    build_rows(shipped("demo"), {"sources": tuple(sources) if sources else None, "n": n}, data, workers)
    for split in ("train", "validation", "test"):
        split_files(data, split)  # an empty one is told now, not after training
    cap = {"trainer": {"max_steps": steps}} if steps else {}
    start = train_model("sft", shipped("tiny-sft"), data, out / "cold-start", cap)
    end = train_model("grpo", shipped("tiny-grpo"), data, out / "grpo", {"model": str(start), **cap})
    models = {"base": out / "cold-start" / "base", "cold-start": start, "grpo": end}
    settings = Settings(decoding=Decoding(max_new_tokens=48))
    results = {
        name: run_benchmark(Pretext(), data, Local(str(m)), out / "eval" / name, settings) for name, m in models.items()
    }
    print_scores(results)
    report(out, out / "report.html")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", parser=folder_here, help="Folder of a run, or of a dataset.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
) -> None:
    """One self-contained HTML page about a run: rows, drops, training curves, results."""
    from spatial_ssrl.report import write_report

    print(f"report: {write_report(run, out)}")


def main() -> None:
    """Run the command line; errors of ours and of the system end in a message and status 2."""
    try:
        app()
    except SpatialSSRLError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
