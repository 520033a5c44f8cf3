"""The commands that train."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from spatial_ssrl.cli.console import fail, folder_here, progress_bar, resumable
from spatial_ssrl.cli.dry_run import Asked, dry_run

app = typer.Typer(help="Train a model: cold start (sft), then reinforcement learning (grpo).", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="PRESET", help="TOML preset, such as recipes/train/*/*.toml.")]
Data = Annotated[
    Path | None, typer.Option(metavar="DIR", parser=folder_here, help="Dataset folder of `spatial-ssrl build`.")
]
Out = Annotated[Path | None, typer.Option(help="Folder for checkpoints and the model.")]
Model = Annotated[str | None, typer.Option(help="Model folder or hub name; overrides the preset.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key of the preset, such as trainer.seed=1.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be run and whether it fits (else status 1); run nothing."),
]
Gpus = Annotated[int | None, typer.Option(min=1, help="With --dry-run: this many GPUs; else the preset's.")]
GpuMemory = Annotated[
    float | None, typer.Option(min=1, metavar="GB", help="With --dry-run: memory of each GPU; else the preset's.")
]


@app.command()
def sft(
    preset: File,
    data: Data = None,
    out: Out = None,
    model: Model = None,
    changes: Changes = None,
    dry: DryRun = False,
    gpus: Gpus = None,
    gpu_memory: GpuMemory = None,
) -> None:
    """Cold start: supervised training on right answers in the right form."""
    asked = Asked("sft", preset, data, out, model, (), tuple(changes or ()))
    _train_or_plan(asked, dry, gpus, gpu_memory)


@app.command()
def grpo(
    preset: File,
    data: Data = None,
    out: Out = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Images to draw rows from while training, instead of --data; may be repeated."),
    ] = None,
    model: Model = None,
    changes: Changes = None,
    dry: DryRun = False,
    gpus: Gpus = None,
    gpu_memory: GpuMemory = None,
    engine: Annotated[str, typer.Option(help="trl, or verl on a Ray cluster.")] = "trl",
    nodes: Annotated[int, typer.Option(min=1, help="Machines of the cluster, on which verl spreads the preset's gpus.")] = 1,
) -> None:
    """Reinforcement learning with verifiable rewards (GRPO)."""
    if data and stream:
        fail("--data and --stream: give one of them")
    asked = Asked("grpo", preset, data, out, model, tuple(stream or ()), tuple(changes or ()))
    if _known_engine(engine) == "trl":
        _train_or_plan(asked, dry, gpus, gpu_memory)
        return
    if gpus or gpu_memory:
        fail("--gpus and --gpu-memory: they are for TRL's dry run; verl takes the preset's gpus")
    _verl(asked, nodes, dry)


def train_model(stage: str, preset: Path, data: Path | None, out: Path, flags: dict[str, Any]) -> Path:
    """Train a stage, or go on with it; the folder of the model."""
    from spatial_ssrl.train import Preset, train

    print(f"training ({stage}) in {out}")
    with resumable("the same command goes on from the last checkpoint"):
        command = shlex.join(["spatial-ssrl", *sys.argv[1:]])
        return train(Preset.create(preset, {**flags, "stage": stage}), data, out, command=command)


def _train_or_plan(asked: Asked, dry: bool, gpus: int | None, gpu_memory: float | None) -> None:
    if dry:
        raise typer.Exit(dry_run(asked, gpus, gpu_memory))
    if gpus or gpu_memory:
        fail("--gpus and --gpu-memory: they are for --dry-run; how many GPUs train, `accelerate launch` says")
    out = _given_out(asked)
    if asked.stage == "sft" and asked.data is None:
        fail("--data: no rows to train on; give a dataset folder of `spatial-ssrl build`")
    _print_trained(train_model(asked.stage, asked.file, asked.data, out, asked.flags()), asked.data, out)


def _given_out(asked: Asked) -> Path:
    if asked.out is None:
        fail("--out: no folder for checkpoints and the model; give one")
    return asked.out


def _known_engine(name: str) -> str:
    if name not in ("trl", "verl"):
        fail(f"--engine {name}: unknown; known: trl, verl; `spatial-ssrl export` serves other trainers")
    return name


def _verl(asked: Asked, nodes: int, dry: bool) -> None:
    """Export the rows into OUT/data and have verl train on them, or print the command that would."""
    if asked.data is None:
        fail("--engine verl trains on a dataset folder; give one as --data")
    from spatial_ssrl.export import export
    from spatial_ssrl.row import count_rows, split_files
    from spatial_ssrl.train import verl

    data, out = asked.data, _given_out(asked)
    preset = asked.preset()
    split_files(data, "validation")
    values = verl.overrides(preset, (out / "data").absolute(), out.absolute(), count_rows(data, "train"), nodes)
    if dry:
        print(shlex.join(verl.command(values)))
        return
    instruction = "boxed" if preset.reply == "boxed" else "think"
    with progress_bar("exporting rows", "give the same command again") as progress:
        export(data, "verl", out / "data", instruction=instruction, progress=progress)
    with resumable("the same command goes on from verl's last checkpoint"):
        verl.launch(preset, data, values, out)
    print(f"checkpoints in {out}/checkpoints; `python -m verl.model_merger merge` makes a model folder of one")


def _print_trained(model: Path, data: Path | None, out: Path) -> None:
    print(f"model in {model}\nnext: spatial-ssrl eval {model} --data {data or 'DIR'} --out {out}/eval")
