"""Run by test_verl_launch.py in a process of its own, since verl replaces methods of transformers' classes.

Prints the largest difference between the logits of verl's model, attention as our configuration has it, and those of the
same model before verl touched it; then what happens if verl packs replies without padding, and with its own default.
"""

import sys
from pathlib import Path

from spatial_ssrl import vlm


def main(preset: Path, model: str) -> None:
    vlm.prepare_torch()
    import torch
    from omegaconf import OmegaConf
    from transformers import AutoModelForImageTextToText
    from verl.models.transformers.monkey_patch import apply_monkey_patch
    from verl.utils.config import omega_conf_to_dataclass

    from spatial_ssrl.train import Preset, verl

    values = verl.overrides(Preset.create(preset, {"model": model}), Path("data"), Path("run"), rows=1000)
    config = omega_conf_to_dataclass(OmegaConf.create(verl.compose(verl.command(values)[3:])).actor_rollout_ref.model)
    network = AutoModelForImageTextToText.from_pretrained(model, config=config.hf_config, dtype=torch.float32).eval()
    inputs = batch(config.processor)
    before = network(**inputs).logits
    apply_monkey_patch(network, use_remove_padding=config.use_remove_padding)
    real = inputs["attention_mask"].bool()
    print("difference", (network(**inputs).logits - before)[real].abs().max().item())

    apply_monkey_patch(network, use_remove_padding=True)
    print("packed", outcome(lambda: network(**inputs)))
    load = AutoModelForImageTextToText.from_pretrained
    print("default", outcome(lambda: load(model, attn_implementation="flash_attention_2")))


def batch(processor):
    """Two prompts of one picture, of different lengths, padded on the right, as verl pads them."""
    import torch
    from PIL import Image

    texts = [f"<|vision_start|><|image_pad|><|vision_end|>{'text ' * n}" for n in (3, 9)]
    images = [Image.linear_gradient("L").convert("RGB")] * 2
    inputs = dict(processor(text=texts, images=images, padding=True, padding_side="right", return_tensors="pt"))
    inputs.pop("mm_token_type_ids", None)
    places = torch.arange(inputs["input_ids"].shape[1])
    return inputs | {"position_ids": places.expand(4, 2, -1)}


def outcome(run) -> str:
    try:
        run()
    except Exception as error:  # whatever it is: the test reads its name
        return type(error).__name__
    return "works"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
