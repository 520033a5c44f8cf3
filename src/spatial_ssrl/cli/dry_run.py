"""`train ... --dry-run`: what a run would be, whether it fits the GPUs, and the command that starts it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatial_ssrl.cli.console import fail, print_table
from spatial_ssrl.config import parse_flags
from spatial_ssrl.errors import RecipeError

if TYPE_CHECKING:
    from spatial_ssrl.train import Preset
    from spatial_ssrl.train.fitting import Verdict
    from spatial_ssrl.train.plan import Plan, Rows

DOES_NOT_FIT = 1
"""Exit status."""
MACHINE = 8
"""GPUs of one machine, at most."""
COLD_START = "cold-start/model"
"""The model of shipped presets of GRPO, which stands for the one that the cold start gave."""


@dataclass(frozen=True)
class Asked:
    """The options of the command."""

    stage: str
    file: Path
    data: Path | None
    out: Path | None
    model: str | None
    stream: tuple[str, ...]
    changes: tuple[str, ...]
    """Of the form KEY=VALUE."""

    def preset(self, more: Sequence[str] = ()) -> "Preset":
        """The preset under all options, and further settings."""
        from spatial_ssrl.train import Preset

        return Preset.create(self.file, self.flags(more))

    def flags(self, more: Sequence[str] = ()) -> dict[str, Any]:
        """What is laid over the file."""
        flags: dict[str, Any] = {"stage": self.stage, "model": self.model, **parse_flags([*self.changes, *more])}
        if self.stream:
            flags["stream"] = {**flags.get("stream", {}), "sources": list(self.stream)}
        return flags


def dry_run(asked: Asked, gpus: int | None, gpu_memory: float | None) -> int:
    """Print what would be run; the exit status."""
    from spatial_ssrl.train.estimate import ASSUMED
    from spatial_ssrl.train.fitting import find_way, judge
    from spatial_ssrl.train.plan import TYPICAL, foresee, measure_rows

    preset = asked.preset()
    gpus, gpu_memory = gpus or preset.gpus, gpu_memory or preset.gpu_memory
    if gpus > MACHINE and gpus % MACHINE:
        fail(f"--gpus {gpus}: machines are taken to have {MACHINE} GPUs each; give up to {MACHINE}, or a multiple of them")
    rows = measure_rows(preset, asked.data) if asked.data or preset.stream else TYPICAL
    print(preset.model_dump_json(indent=2, exclude_none=True, exclude={"shape", "verl"}))
    plan = foresee(preset, rows, (gpus,))
    _print_lengths(preset, plan, rows)
    try:
        verdict = judge(preset, rows, gpus, gpu_memory)
    except RecipeError as error:
        print(f"\n{_named(gpus, gpu_memory)}: cannot be run: {error}")
    else:
        _print_parts(plan, verdict)
        print(f"an estimate, by the arithmetic of train/estimate.py; assumed: {ASSUMED}\n")
        print(f"{_named(gpus, gpu_memory)}: {verdict.said}")
        if verdict.fits:
            print(_command(asked, preset, gpus, ()))
            return 0
    way = find_way(asked.preset, rows, gpus, gpu_memory)
    if way is None:
        most = max(gpus, MACHINE)
        print(f"no settings were found that fit GPUs of {gpu_memory:g} GB, up to {most} of them; take larger ones")
        return DOES_NOT_FIT
    with_what = ", with" if way.settings else ", the preset as it is"
    print(f"what fits: {_named(way.gpus, gpu_memory)}: {way.verdict.said.removeprefix('fits: ')}{with_what}")
    for option in _as_options(way.settings):
        print(f"    {option}")
    fitting = asked.preset(way.settings)
    _print_parts(foresee(fitting, rows, (way.gpus,)), way.verdict)
    if fitting.quantize:
        print("4 bits need the extra quantize: pip install -e '.[train,quantize]' -c constraints.txt")
    print(_command(asked, fitting, way.gpus, way.settings))
    return DOES_NOT_FIT


def _named(gpus: int, gpu_memory: float) -> str:
    return f"{gpus} GPU{'s' if gpus > 1 else ''} of {gpu_memory:g} GB"


def _print_lengths(preset: "Preset", plan: "Plan", rows: "Rows") -> None:
    load = next(iter(plan.loads.values()))
    counted = f"{plan.rows} rows, " if plan.rows else ""
    updates = f"{plan.steps} updates" if plan.steps else "updates"
    print(f"{counted}{updates} of {load.batch} {'replies' if preset.stage == 'grpo' else 'rows'}")
    lengths = f"prompts of {plan.prompt:.0f} tokens (at most {plan.longest_prompt}), replies of {plan.reply:.0f}"
    if rows.typical:
        print(f"{lengths}: typical rows, three about one photograph to one about five pictures; --data DIR measures yours")
    else:
        print(f"{lengths}, by estimate")


def _print_parts(plan: "Plan", verdict: "Verdict") -> None:
    load = verdict.load
    hours = f"{plan.steps * sum(load.seconds().values()) / 3600:.1f}" if plan.steps else "?"
    row = [
        str(load.gpus),
        f"{verdict.used:.1f}",
        ", ".join(f"{part} {size:.1f}" for part, size in verdict.parts.items()),
        hours,
        ", ".join(f"{part} {seconds:.1f}" for part, seconds in load.seconds().items()),
    ]
    print_table(["GPUs", "GB each", "of which", "hours", "seconds an update"], [row], align="left")


def _command(asked: Asked, preset: "Preset", gpus: int, more: Sequence[str]) -> str:
    """The command that starts the run, with capitals where a path is still to be given."""
    words = ["train", asked.stage, str(asked.file)]
    for source in asked.stream:
        words += ["--stream", source]
    if not preset.stream:
        words += ["--data", str(asked.data or "DIR")]
    words += ["--out", str(asked.out or "RUN")]
    model = asked.model or ("COLD_START" if preset.model == COLD_START and not Path(COLD_START).exists() else None)
    if model:
        words += ["--model", model]
    options = " ".join(_as_options([*asked.changes, *more]))
    run = f"run: {_launcher(asked.file, preset, gpus)} {shlex.join(words)} {options}".rstrip()
    return f"{_server(preset, model or preset.model)}{run}"


def _server(preset: "Preset", model: str) -> str:
    """The line that starts vLLM's server where one generates, else nothing."""
    if not preset.trainer.get("use_vllm") or preset.trainer.get("vllm_mode") != "server":
        return ""
    from spatial_ssrl.train.server import serve_command

    limits = {"min_pixels": preset.min_pixels, "max_pixels": preset.max_pixels}
    given = {name: pixels for name, pixels in limits.items() if pixels}
    return f"first, on other GPUs: {serve_command(model, given, preset.trainer.get('vllm_max_model_length'))}\n"


def _as_options(settings: Sequence[str]) -> list[str]:
    return [f"--set {shlex.quote(setting)}" for setting in settings]


def _launcher(file: Path, preset: "Preset", gpus: int) -> str:
    """How a process for each GPU is started: an adapter is copied to all of them, whole weights are sharded."""
    if gpus == 1:
        return "spatial-ssrl"
    words = ["accelerate", "launch", "--config_file"]
    words.append(str(_accelerate_config("ddp-8gpu.yaml" if preset.lora is not None else "fsdp2-8gpu.yaml", file)))
    if gpus != MACHINE:
        words += ["--num_processes", str(gpus)]
    if gpus > MACHINE:
        words += ["--num_machines", str(-(-gpus // MACHINE)), "--machine_rank", "RANK", "--main_process_ip", "HOST"]
        words += ["--main_process_port", "29500"]
    return shlex.join([*words, "-m", "spatial_ssrl.cli"])


def _accelerate_config(name: str, preset: Path) -> Path:
    """A file of recipes/accelerate, in the checkout of the preset or of this package; its name where there is neither."""
    roots = (*preset.resolve().parents, Path(__file__).resolve().parents[3] / "recipes")
    found = (root / "accelerate" / name for root in roots)
    return next((path for path in found if path.exists()), Path("recipes", "accelerate", name))
