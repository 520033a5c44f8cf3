"""The commands that train."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from spatial_ssrl.cli.console import fail, folder_here, print_table, progress_bar, resumable
from spatial_ssrl.config import parse_flags

app = typer.Typer(help="Train a model: cold start (sft), then reinforcement learning (grpo).", no_args_is_help=True)


@app.command()
def sft(
    preset: Annotated[Path, typer.Argument(metavar="PRESET", help="TOML preset, such as recipes/train/*.toml.")],
    data: Annotated[Path, typer.Option(metavar="DIR", parser=folder_here, help="Dataset folder of `spatial-ssrl build`.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the model.")],
    model: Annotated[str | None, typer.Option(help="Model folder or hub name; overrides the preset.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key of the preset, such as trainer.seed=1.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run, and an estimate; run nothing.")] = False,
) -> None:
    """Cold start: supervised training on right answers in the right form."""
    _train_or_plan("sft", preset, data, out, {"model": model, **parse_flags(changes or [])}, dry_run)


@app.command()
def grpo(
    preset: Annotated[Path, typer.Argument(metavar="PRESET", help="TOML preset, such as recipes/train/*.toml.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the model.")],
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", parser=folder_here, help="Dataset folder of `spatial-ssrl build`.")
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Images to draw rows from while training, instead of --data; may be repeated."),
    ] = None,
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
    if stream:
        flags["stream"] = {**flags.get("stream", {}), "sources": stream}
    if data and stream:
        fail("--data and --stream: give one of them")
    if _known_engine(engine) == "verl":
        _verl(preset, data, out, flags, nodes, dry_run)
    else:
        _train_or_plan("grpo", preset, data, out, flags, dry_run)


def train_model(stage: str, preset: Path, data: Path | None, out: Path, flags: dict[str, Any]) -> Path:
    """Train a stage, or go on with it; the folder of the model."""
    from spatial_ssrl.train import Preset, train

    print(f"training ({stage}) in {out}")
    with resumable("the same command goes on from the last checkpoint"):
        command = shlex.join(["spatial-ssrl", *sys.argv[1:]])
        return train(Preset.create(preset, {**flags, "stage": stage}), data, out, command=command)


def _train_or_plan(stage: str, file: Path, data: Path | None, out: Path, flags: dict[str, Any], dry_run: bool) -> None:
    if dry_run:
        _print_plan(stage, file, data, out, flags)
    else:
        _print_trained(train_model(stage, file, data, out, flags), data, out)


def _known_engine(name: str) -> str:
    if name not in ("trl", "verl"):
        fail(f"--engine {name}: unknown; known: trl, verl; `spatial-ssrl export` serves other trainers")
    return name


def _verl(file: Path, data: Path | None, out: Path, flags: dict[str, Any], nodes: int, dry_run: bool) -> None:
    """Export the rows into OUT/data and have verl train on them, or print the command that would."""
    if data is None:
        fail("--engine verl trains on a dataset folder; give one as --data")
    from spatial_ssrl.export import export
    from spatial_ssrl.row import count_rows, split_files
    from spatial_ssrl.train import Preset, verl

    preset = Preset.create(file, {**flags, "stage": "grpo"})
    split_files(data, "validation")
    rows = count_rows(data, "train")
    values = verl.overrides(preset, (out / "data").absolute(), out.absolute(), rows, nodes)
    if dry_run:
        print(shlex.join(verl.command(values)))
        return
    instruction = "boxed" if preset.reply == "boxed" else "think"
    with progress_bar("exporting rows", "give the same command again") as progress:
        export(data, "verl", out / "data", instruction=instruction, progress=progress)
    with resumable("the same command goes on from verl's last checkpoint"):
        verl.launch(preset, data, values, out)
    print(f"checkpoints in {out}/checkpoints; `python -m verl.model_merger merge` makes a model folder of one")


def _print_plan(stage: str, file: Path, data: Path | None, out: Path, flags: dict[str, Any]) -> None:
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
            f"{sum(load.memory().values()) / GIB:.0f}{'' if load.fits() else ', does not fit'}",
            ", ".join(f"{part} {size / GIB:.1f}" for part, size in load.memory().items()),
            f"{found.steps * sum(load.seconds().values()) / 3600:.1f}",
            ", ".join(f"{part} {seconds:.1f}" for part, seconds in load.seconds().items()),
        ]
        for gpus, load in found.loads.items()
    ]
    print_table(["GPUs", "GiB each", "of which", "hours", "seconds an update"], rows, align="left")
    print(f"an estimate, by the arithmetic of train/estimate.py; assumed: {ASSUMED}")
    many = "ddp-8gpu" if preset.lora else "fsdp2-8gpu"
    words = shlex.join(word for word in sys.argv[1:] if word != "--dry-run")
    print(f"1 GPU:  spatial-ssrl {words}")
    config = shlex.quote(str(_accelerate_config(f"{many}.yaml", file)))
    print(f"8 GPUs: accelerate launch --config_file {config} -m spatial_ssrl.cli {words}")


def _accelerate_config(name: str, preset: Path) -> Path:
    """A file of recipes/accelerate, in the checkout of the preset or of this package; its name where there is neither."""
    roots = (preset.resolve().parents[1], Path(__file__).resolve().parents[3] / "recipes")
    found = (root / "accelerate" / name for root in roots)
    return next((path for path in found if path.exists()), Path("recipes", "accelerate", name))


def _print_trained(model: Path, data: Path | None, out: Path) -> None:
    print(f"model in {model}\nnext: spatial-ssrl eval {model} --data {data or 'DIR'} --out {out}/eval")
