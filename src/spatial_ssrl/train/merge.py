"""An adapter merged into its model, so that the result loads anywhere without PEFT.

A base in 4 bits is no place to merge into: the sum would be rounded to 4 bits once more, and the folder could be loaded
only where bitsandbytes is. The adapter is therefore put on a fresh copy of the base in 16 bits. That copy is not the base
that the adapter was trained on, but the one that the base was rounded from; what the difference costs was not measured.
"""

import warnings
from collections.abc import Mapping
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.train.preset import Preset


def merge(model: Any, weights: Mapping[str, Any], preset: Preset) -> Any:
    """The model without an adapter, in which these weights of the adapter are merged.

    `model` is PEFT's, as it was trained. One in 4 bits is left as it is.
    """
    if preset.quantize:
        return _merge_into_fresh_base(model, weights, preset)
    model.load_state_dict(weights, strict=False)
    return model.merge_and_unload()


def _merge_into_fresh_base(model: Any, weights: Mapping[str, Any], preset: Preset) -> Any:
    from peft import get_peft_model

    # on the CPU, since the base in 4 bits still occupies the GPU
    base = vlm.load_model(model.get_base_model().name_or_path, "bfloat16", device="cpu")
    with warnings.catch_warnings():
        # PEFT 0.21 reads a property that transformers 5.23 has renamed
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        adapted = get_peft_model(base, preset.lora_config())
    adapted.load_state_dict(weights, strict=False)
    return adapted.merge_and_unload()


def keep_adapter_exact(model: Any) -> None:
    """Turn the trained weights of a 4-bit model into float32, in which PEFT has them beside a 16-bit base.

    TRL 1.16 rounds them to bfloat16, whose step at 0.01 is 0.00006: updates of a learning rate of 1e-5 would be lost.
    """
    import torch

    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
