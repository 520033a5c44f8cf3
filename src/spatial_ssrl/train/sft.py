"""The cold start: supervised fine-tuning on replies in the form that the reward can read."""

from typing import Any

from spatial_ssrl.train.data import sft_dataset
from spatial_ssrl.train.preset import Preset


def sft_trainer(preset: Preset, args: Any, model: Any, processor: Any, rows: Any) -> Any:
    """TRL's SFTTrainer; the loss is on the reply alone."""
    from trl import SFTTrainer

    return SFTTrainer(
        model=model,
        args=args,
        train_dataset=sft_dataset(rows, preset),
        processing_class=processor,
        peft_config=preset.lora_config(),
    )
