"""One run of training in a folder: begin or resume, train, measure, save.

    OUT/preset.json          the preset, and the fingerprint of the dataset
    OUT/base/                the random model that a "tiny:..." preset starts from
    OUT/checkpoint-N/        of the trainer; the last two are kept
    OUT/replies/             of GRPO: samples of replies with their scores
    OUT/best.safetensors     trained weights of the best measurement on the development rows
    OUT/runs/                the curves, for tensorboard
    OUT/model/               the result: model, processor, chat template, model card
    OUT/trainer_state.json   the whole log; written last, so a run that has it is finished

A folder belongs to one preset and one dataset.
"""

import itertools
import json
import os
import shutil
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.coldstart import cold_start_reply
from spatial_ssrl.errors import TrainingError
from spatial_ssrl.row import read_rows
from spatial_ssrl.train.card import model_card
from spatial_ssrl.train.checkpoints import full_disk_as_training_error, last_checkpoint, sigterm_as_exit
from spatial_ssrl.train.data import check_lengths, load_splits, need
from spatial_ssrl.train.dev import Development
from spatial_ssrl.train.grpo import grpo_trainer
from spatial_ssrl.train.memory import told_what_to_lower
from spatial_ssrl.train.merge import keep_adapter_exact, merge
from spatial_ssrl.train.preset import TINY, Preset
from spatial_ssrl.train.sft import sft_trainer
from spatial_ssrl.train.sharding import refuse_sharded_lora, sharded_by, trained_weights
from spatial_ssrl.train.streamed import SAMPLE, Streamed, sample_stream
from spatial_ssrl.train.tiny import make_tiny

STAGES: dict[str, Callable[..., Any]] = {"sft": sft_trainer, "grpo": grpo_trainer}
TOKENIZER_ROWS = 2000
"""Rows whose texts a tiny model's tokenizer is fitted to."""
TEXT_COLUMNS = ("id", "task", "variant", "problem", "answer", "params")


def run(preset: Preset, dataset: Path | None, out: Path, resume: bool, command: str | None) -> Path:
    """See `spatial_ssrl.train.train`."""
    vlm.require("train", "torch", "torchvision", "transformers", "trl", "peft", "accelerate", "datasets")
    if preset.trainer.get("use_vllm"):
        vlm.require("vllm", "vllm")
    if preset.quantize:
        vlm.require("quantize", "bitsandbytes")
    args = preset.trainer_config(out)
    if args.n_gpu > 1:
        raise TrainingError(
            f"{args.n_gpu} GPUs are visible and one process was started; set CUDA_VISIBLE_DEVICES=0 to train on one, or"
            " start one process a GPU with `accelerate launch`, as --dry-run --gpus N prints it"
        )
    _require_reporters(args)
    with args.main_process_first(desc="folder"):
        _claim(preset, dataset, out, resume or args.process_index > 0)
    if not (out / "trainer_state.json").exists():
        with sigterm_as_exit(out, args.process_index == 0), full_disk_as_training_error(out):
            _train(preset, args, dataset, out, command)
    return out / "model"


def _train(preset: Preset, args: Any, dataset: Path | None, out: Path, command: str | None) -> None:
    """Begin or resume, train, and save the result."""
    with warnings.catch_warnings():
        # TRL 1.16 reads a property that transformers 5.23 has renamed
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        with told_what_to_lower(preset, args):
            checkpoint = last_checkpoint(out)
            trainer = _make_trainer(preset, args, dataset, out, checkpoint)
            trainer.train(resume_from_checkpoint=checkpoint)
    _finish(trainer, preset, dataset, out, command)


def _require_reporters(args: Any) -> None:
    """Raise TrainingError for a reporter that transformers does not know or that is not installed."""
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in args.report_to:
        if name not in INTEGRATION_TO_CALLBACK:
            raise TrainingError(f"trainer.report_to: {name} is unknown; known: none, {', '.join(INTEGRATION_TO_CALLBACK)}")
        if name not in get_available_reporting_integrations():
            raise TrainingError(f"trainer.report_to: {name} is not installed; install it, or --set trainer.report_to=none")


def _make_trainer(preset: Preset, args: Any, dataset: Path | None, out: Path, checkpoint: str | None) -> Any:
    from spatial_ssrl.train.progress import quiet_loading, show_progress

    if preset.lora:
        refuse_sharded_lora(args)
    quiet_loading()
    if preset.stream:
        rows, sample, dev_rows = _open_stream(preset, args, checkpoint)
    else:
        rows, dev_rows = load_splits(preset, dataset)
        sample = rows
    with args.main_process_first(desc="model"):
        base = _base_model(preset, dataset, out, args.seed)
    # FSDP moves a model to the GPUs in shards; whole, a 7B model and its reference would fill one
    device = "cpu" if sharded_by(args) == "FSDP" else None
    limits = (preset.min_pixels, preset.max_pixels)
    model, processor = vlm.load(base, preset.dtype, *limits, device, preset.quantize)
    check_lengths(sample, processor, preset)
    trainer = STAGES[preset.stage](preset, args, model, processor, rows)
    if preset.quantize:
        keep_adapter_exact(trainer.model)
    show_progress(trainer)
    if preset.dev:
        Development(trainer, preset, dev_rows, out / "best.safetensors").watch()
    return trainer


def _open_stream(preset: Preset, args: Any, checkpoint: str | None) -> tuple[Any, Any, Any]:
    """A stream's rows to train on, the first of them, whose lengths are checked, and development rows or None."""
    streamed = Streamed(preset, args)
    if checkpoint:
        streamed.restore(checkpoint)
    dev_rows = sample_stream(preset, "validation", preset.dev.rows) if preset.dev else None
    return streamed, sample_stream(preset, "train", SAMPLE), dev_rows


def _base_model(preset: Preset, dataset: Path | None, out: Path, seed: int) -> str:
    """Where the model to start from is; a tiny one is made on the first call."""
    if not preset.model.startswith(TINY):
        return preset.model
    base = out / "base"
    if not base.exists():
        rows = itertools.islice(read_rows(need(dataset), "train", TEXT_COLUMNS), TOKENIZER_ROWS)
        texts = (t for r in rows for t in (f"{r['problem']}\n{preset.instruction}", cold_start_reply(r, preset.reply)))
        _write(base, lambda place: make_tiny(preset.model.removeprefix(TINY), texts, preset.tokenizer, seed, place))
    return str(base)


def _claim(preset: Preset, dataset: Path | None, out: Path, resume: bool) -> None:
    """Make OUT this run's folder. Raises TrainingError when it is another's."""
    claimed = out / "preset.json"
    # What only --dry-run reads may differ
    identity = preset.model_dump(mode="json", exclude={"gpu_memory", "shape"})
    identity |= {"dataset": dataset and _fingerprint(dataset)}
    if not resume:
        _clear(out)
    if claimed.exists():
        found = json.loads(claimed.read_text(encoding="utf-8"))
        differing = sorted(key for key in identity if found.get(key) != identity[key])
        if differing:
            raise TrainingError(f"{out} holds another run (it differs in {', '.join(differing)}); choose another folder")
        return
    out.mkdir(parents=True, exist_ok=True)
    # The first processes of several machines may come here at one time, to one folder
    temporary = out / f".preset.{os.getpid()}.{socket.gethostname()}.tmp"
    temporary.write_text(json.dumps(identity, indent=2), encoding="utf-8")
    temporary.replace(claimed)


def _fingerprint(dataset: Path) -> str:
    """The fingerprint in a dataset's manifest, or its path where it has none."""
    try:
        return str(json.loads((dataset / "manifest.json").read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError):
        return str(dataset.resolve())


def _clear(out: Path) -> None:
    """Remove what an earlier run left, and nothing else."""
    for folder in (out / "base", out / "model", out / "replies", out / "runs", *out.glob("checkpoint-*")):
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("preset.json", "best.safetensors", "trainer_state.json"):
        (out / name).unlink(missing_ok=True)


def _finish(trainer: Any, preset: Preset, dataset: Path | None, out: Path, command: str | None) -> None:
    """Save the best model, or the last where nothing was measured, and then the log."""
    weights = trained_weights(trainer)
    if not trainer.is_world_process_zero():
        return
    if (out / "best.safetensors").exists():
        from safetensors.torch import load_file

        weights = load_file(out / "best.safetensors")
    model = trainer.accelerator.unwrap_model(trainer.model)
    adapted = hasattr(model, "merge_and_unload")
    if adapted:
        model = merge(model, weights, preset)

    # transformers 5.23, having loaded a model under ZeRO-3, undoes renamings of weights when it saves that it never did
    original_names = not trainer.is_deepspeed_enabled

    def save(place: Path) -> None:
        model.save_pretrained(place, state_dict=None if adapted else weights, save_original_format=original_names)
        trainer.processing_class.save_pretrained(place)
        card = model_card(preset, dataset, command, trainer.state.log_history)
        (place / "README.md").write_text(card, encoding="utf-8")

    _write(out / "model", save)
    _write(out / "trainer_state.json", lambda place: trainer.state.save_to_json(str(place)))


def _write(path: Path, make: Callable[[Path], Any]) -> None:
    """Make a file or folder under another name, then give it its own: what exists is whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    if temporary.is_dir():
        shutil.rmtree(temporary)
    make(temporary)
    if path.is_dir():
        shutil.rmtree(path)
    temporary.replace(path)
