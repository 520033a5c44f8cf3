"""Two processes on CPUs that do what GPUs would: a script for torch.distributed.run, and what whole_path.py needs of it.

    python -m torch.distributed.run --standalone --nproc-per-node=2 tests/train/on_cpus.py PRESET_JSON DATA OUT

Writes how FSDP2 sharded the reference model, if it did, to OUT/reference.json.
"""

import json
import sys
from pathlib import Path

from spatial_ssrl import vlm

FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}
"""The environment that accelerate makes of recipes/accelerate/fsdp2-8gpu.yaml."""
ZERO3 = {
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3",
    "ACCELERATE_DEEPSPEED_ZERO3_INIT": "false",
    "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true",
    "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "none",
    "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "none",
    "DS_ACCELERATOR": "cpu",
}
"""And of zero3-8gpu.yaml; the last line is for CPUs."""


def shard_on_cpus():
    """Have accelerate take its FSDP plugin on CPUs, where it else trains with DDP."""
    from accelerate import state
    from accelerate.utils import DistributedType

    init = state.AcceleratorState.__init__

    def init_sharded(self, *args, fsdp_plugin=None, **kwargs):
        init(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
            state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    state.AcceleratorState.__init__ = init_sharded


def note_reference(out):
    """Write of the reference how many parts FSDP2 gathers by themselves, and the largest share of the weights in one."""
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

    from spatial_ssrl.train import overrides

    shard = overrides.shard_reference

    def noted(model, accelerator):
        sharded = shard(model, accelerator)
        parts = [module for module in sharded.modules() if isinstance(module, FSDPModule)]
        weights = list(sharded.parameters())
        sizes = [
            sum(w.numel() for group in part._get_fsdp_state()._fsdp_param_groups for w in group_weights(group))
            for part in parts
        ]
        found = {
            "parts": len(parts),
            "largest": max(sizes) / sum(w.numel() for w in weights),
            "sharded": all(isinstance(w, DTensor) and w.to_local().numel() < w.numel() for w in weights if w.numel() > 64),
            "type": str(weights[0].dtype),
        }
        (out / "reference.json").write_text(json.dumps(found))
        return sharded

    overrides.shard_reference = noted


def group_weights(group):
    """The weights that one group gathers together."""
    return [p.sharded_param for p in group.fsdp_params]


def main():
    vlm.prepare_torch()
    from spatial_ssrl.train import Preset, train

    out = Path(sys.argv[3])
    shard_on_cpus()
    note_reference(out)
    train(Preset.model_validate_json(sys.argv[1]), Path(sys.argv[2]), out)


if __name__ == "__main__":
    main()
