"""GRPO with vLLM in the training processes, on CPUs, as it goes on GPUs: started by torch.distributed.run in two processes.

    python -m torch.distributed.run --standalone --nproc-per-node=2 tests/train/whole_path.py PRESET_JSON DATA OUT

Three things that a CPU lacks are made up for. FSDP: accelerate's state is set by hand, in `shard_on_cpus`. Sleep mode:
asleep, vLLM's weights are NaN, so that a reply from weights that were not synchronised cannot go unnoticed. A first
synchronisation that matters: the trained weights are changed before it, so that the ones vLLM loaded are wrong.
"""

import functools
import os
import sys
from pathlib import Path

os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
os.environ |= {"VLLM_LOGGING_LEVEL": "ERROR", "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}

from on_cpus import shard_on_cpus

from spatial_ssrl import vlm


def put_to_sleep():
    """Give vLLM a sleep that destroys its weights, as that of level 2 does on a GPU."""
    import torch
    from trl.generation import vllm_generation

    class SleepyLLM(vllm_generation.LLM):
        def __init__(self, *args, enable_sleep_mode, **kwargs):
            super().__init__(*args, enforce_eager=True, **kwargs)

        def sleep(self, level):
            model = self.llm_engine.model_executor.driver_worker.model_runner.model
            with torch.no_grad():
                for weight in model.parameters():
                    weight.fill_(torch.nan)

        def wake_up(self, tags):
            pass

    vllm_generation.LLM = SleepyLLM


def change_before_the_first_synchronisation():
    """Change the trained weights, once, equally in all processes."""
    import torch
    from trl.generation.vllm_generation import VLLMGeneration

    synchronise = VLLMGeneration.sync_weights

    @functools.cache
    def change(generation):
        with torch.no_grad():
            for name, weight in generation.model.named_parameters():
                if weight.requires_grad and weight.dim() == 2:
                    weight.mul_(1.05)
                    weight.add_(0.02 if "lora_B" in name else 0.01 * weight.std())

    def changed(self):
        change(self)
        synchronise(self)

    VLLMGeneration.sync_weights = changed


def main():
    vlm.prepare_torch()
    from spatial_ssrl.train import Preset, train

    shard_on_cpus()
    put_to_sleep()
    change_before_the_first_synchronisation()
    train(Preset.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))


if __name__ == "__main__":
    main()
