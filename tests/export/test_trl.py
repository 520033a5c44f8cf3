"""The line that an export for TRL ends with, given to TRL's own command line, trains a tiny model."""

import json
import shlex
import sys

import pytest

from export.helpers import run_export
from spatial_ssrl import vlm

SHORT = (
    "--max_steps 1 --save_steps 1 --eval_strategy steps --eval_steps 1 --logging_steps 1 --report_to none --use_cpu true"
    " --bf16 false --dtype float32 --per_device_train_batch_size 4 --num_generations 2 --max_completion_length 4"
)


@pytest.mark.parametrize("form", ["embedded", "paths"])
@pytest.mark.filterwarnings("ignore::FutureWarning")  # TRL 1.16 calls what transformers 5.23 has renamed
def test_the_printed_command_trains(dataset, tiny_model, tmp_path, monkeypatch, form):
    vlm.require("train", "trl")
    vlm.prepare_torch()
    from trl.scripts import grpo

    out = tmp_path / "out"
    path, trl, stage, *arguments = shlex.split(run_export(dataset, "trl", out, images=form).command)
    assert (path, trl, stage) == (f"PYTHONPATH={out}", "trl", "grpo")
    monkeypatch.syspath_prepend(str(out))
    monkeypatch.delitem(sys.modules, "spatial_reward", raising=False)
    arguments = [str(tiny_model) if word == "MODEL" else word for word in arguments]
    arguments[arguments.index("--output_dir") + 1] = str(tmp_path / "run")
    grpo.main(*grpo.make_parser().parse_args_and_config([*arguments, *SHORT.split()]))
    history = json.loads((tmp_path / "run/checkpoint-1/trainer_state.json").read_text())["log_history"]
    logged = {name: value for entry in history for name, value in entry.items()}
    assert 0 <= logged["rewards/spatial_reward/mean"] <= 1
    assert 0 <= logged["eval_unparsed"] <= 1
