"""vLLM as GRPO's generator: `make test-vllm`, with its build for CPUs in an environment of its own.

Each case is a process of its own: vLLM keeps its memory, and its part of torch.distributed, to the end of one.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spatial_ssrl import vlm
from spatial_ssrl.errors import TrainingError
from train.helpers import tiny_preset
from train.on_cpus import FSDP2

pytest.importorskip("vllm")
HERE = Path(__file__).parent
FAMILIES = ("qwen2_5_vl", "qwen3_vl")
LIMITS = ("3136", "50176")
"""The trainer's pixel limits; the models' own upper one is 12,544."""
QUIET = {"VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"}
PORT = 8731


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Rows with one image and with five, of 224 pixels: more than the models' own limit, and within the trainer's."""
    from spatial_ssrl.build import Recipe, build

    tasks = [("shuffle", "2x2"), ("crop", "square"), ("flip", "2x2")]
    recipe = Recipe(
        sources=("synthetic:12?size=224x224&style=plain",),
        profile="paper",
        n=36,
        tasks=tuple({"task": task, "variant": variant} for task, variant in tasks),
        splits={"train": 0.7, "validation": 0.3},
    )
    out = tmp_path_factory.mktemp("rows") / "data"
    build(recipe, out, 1, "test", lambda done, total: None)
    return out


@pytest.fixture(scope="module")
def models(data, tmp_path_factory):
    """A tiny model of each family."""
    from spatial_ssrl.row import read_rows
    from spatial_ssrl.train.tiny import Size, make_tiny

    texts = [row["problem"] for row in read_rows(data, "train")]
    folder = tmp_path_factory.mktemp("models")
    for family in FAMILIES:
        # Heads of 32 are the least that vLLM's attention on a CPU takes
        make_tiny(family, texts, None, 0, folder / family, Size(64, 2, 2, 4, 112))
    return folder


def compare(model, data, generator, limits=LIMITS):
    """What compare_generators.py found."""
    words = [sys.executable, HERE / "compare_generators.py", model, data, generator, *limits]
    done = subprocess.run(words, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"logp difference: {found['difference']:.1e} ({model.name}, {generator.partition(':')[0]}, limits {limits})")
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", FAMILIES)
def test_vllm_gives_the_trainers_log_probabilities(family, models, data):
    found = compare(models / family, data, "corrected")
    assert found["trainer"] == found["generator"]
    assert found["equal"]
    assert found["difference"] < 1e-4


@pytest.mark.timeout(900)
@pytest.mark.parametrize("limits", [("3136", "12544"), LIMITS], ids=["equal limits", "other limits"])
@pytest.mark.parametrize("family", FAMILIES)
def test_trl_alone_still_differs(family, limits, models, data):
    """Fails on the day that TRL needs `overrides.py` no longer. The first limits are the model's own, as vLLM reads them."""
    found = compare(models / family, data, "trl", limits)
    assert found["trainer"] != found["generator"]
    assert found["difference"] > 0.01


@pytest.fixture(scope="module", params=FAMILIES)
def server(request, models):
    """vLLM's own server, as `serve_command` starts it, but in float32; its process and the model that it serves."""
    from spatial_ssrl.train.server import serve_command

    model = models / request.param
    limits = {"min_pixels": int(LIMITS[0]), "max_pixels": int(LIMITS[1])}
    variable, *words = shlex.split(serve_command(str(model), limits))
    words[0] = str(Path(sys.executable).with_name("vllm"))
    words += ["--dtype", "float32", "--enforce-eager", "--max-model-len", "2048", "--port", str(PORT)]
    environment = {**os.environ, **QUIET, **dict([variable.split("=")])}
    process = subprocess.Popen(words, env=environment, start_new_session=True)
    try:
        yield process, model
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.timeout(1800)
def test_a_server_does_so_too_and_what_is_wrong_with_one_is_said(server, data):
    vlm.prepare_torch()
    from trl.generation.vllm_client import VLLMClient

    from spatial_ssrl.train.server import check_server, server_errors

    process, model = server
    client = VLLMClient(f"http://localhost:{PORT}", connection_timeout=600)
    found = compare(model, data, client.base_url)
    assert found["difference"] < 1e-4
    check_server(client, vlm.load_processor(model, *map(int, LIMITS)))
    with pytest.raises(
        TrainingError, match=r"an image of 140 x 140 pixels into \d+ tokens, the trainer into \d+; start it with"
    ):
        check_server(client, vlm.load_processor(model))
    with pytest.raises(TrainingError, match="needs a CUDA device"), server_errors(client.base_url):
        client.init_communicator("cpu")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    client.session.adapters.clear()  # five retries take a minute
    with pytest.raises(TrainingError, match="no vLLM server answers at"), server_errors(client.base_url):
        VLLMClient(client.base_url)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("family", "lora"), [("qwen2_5_vl", False), ("qwen3_vl", True)], ids=["FSDP2", "LoRA"])
def test_two_processes_generate_with_the_weights_that_they_train(family, lora, models, data, tmp_path):
    trainer = {
        "use_cpu": True,
        "max_steps": 3,
        "beta": 0.01,
        "max_completion_length": 16,
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_enable_sleep_mode": True,
        "vllm_gpu_memory_utilization": 0.1,
        "vllm_max_model_length": 2048,
    }
    flags = {"min_pixels": int(LIMITS[0]), "max_pixels": int(LIMITS[1]), "gpus": 2, "dev": {"rows": 2, "every": 3}}
    flags |= {"lora": {"r": 4, "target_modules": "all-linear"}} if lora else {}
    preset = tiny_preset("grpo", model=str(models / family), trainer=trainer, **flags)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", HERE / "whole_path.py"]
    words += [preset.model_dump_json(), data, tmp_path / "run"]
    environment = {**os.environ, **QUIET, **({} if lora else FSDP2)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    log = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    differences = [entry[key] for entry in log if (key := "sampling/sampling_logp_difference/mean") in entry]
    print(f"logp difference: {max(differences):.1e} ({family}, two processes, {'LoRA' if lora else 'FSDP2'}, bfloat16)")
    assert len(differences) == 3
    assert max(differences) < 0.02
    assert all(0 <= entry["kl"] < 1 for entry in log if "kl" in entry)
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()
