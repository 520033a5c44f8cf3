"""The configurations of accelerate, read by accelerate's own loader and turned into what its processes get."""

import os
import warnings
from pathlib import Path

import pytest

from spatial_ssrl import vlm

CONFIGS = sorted((Path(__file__).parents[2] / "recipes" / "accelerate").glob("*.yaml"))
TRL_NAMES = {"one-gpu": "single_gpu", "ddp-8gpu": "multi_gpu", "fsdp2-8gpu": "fsdp2", "zero3-8gpu": "zero3"}


def launched(path):
    """The arguments that `accelerate launch` makes of a file."""
    vlm.prepare_torch()
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    args = launch_command_parser().parse_args(["--config_file", str(path), "script.py"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _validate_launch_command(args)[0]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_accelerate_takes_every_key(path):
    import yaml
    from accelerate.commands.launch import launch_command_parser

    args, values = launched(path), yaml.safe_load(path.read_text())
    known = vars(launch_command_parser().parse_args(["script.py"]))
    for table in ("fsdp_config", "deepspeed_config"):
        for key, value in values.get(table, {}).items():
            assert key in known, f"accelerate has no {key}"
            assert str(getattr(args, key)).lower() == str(value).lower()
    assert args.num_processes == values["num_processes"]
    assert args.mixed_precision == "bf16"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_keys_are_those_that_trl_ships(path):
    import trl
    import yaml

    theirs = yaml.safe_load((Path(trl.__file__).parent / "accelerate_configs" / f"{TRL_NAMES[path.stem]}.yaml").read_text())
    ours = yaml.safe_load(path.read_text())
    for table in ours.keys() & {"fsdp_config", "deepspeed_config"}:
        assert ours[table].keys() <= theirs[table].keys()
    assert ours["distributed_type"] == theirs["distributed_type"]


def test_the_plugin_of_fsdp_is_of_version_2(monkeypatch):
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_multi_gpu_env

    args = launched(next(path for path in CONFIGS if path.stem.startswith("fsdp2")))
    before = dict(os.environ)
    for key, value in prepare_multi_gpu_env(args).items():
        if before.get(key) != value:
            monkeypatch.setenv(key, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert not plugin.cpu_ram_efficient_loading
