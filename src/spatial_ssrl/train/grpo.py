"""GRPO: replies are sampled, scored by the reward of this project, and reinforced within their group."""

from typing import Any

from spatial_ssrl.reward.trl import trl_reward
from spatial_ssrl.train.data import grpo_dataset
from spatial_ssrl.train.preset import Preset


def grpo_trainer(preset: Preset, args: Any, model: Any, processor: Any, rows: Any) -> Any:
    """TRL's GRPOTrainer with one reward function."""
    from trl import GRPOTrainer

    return GRPOTrainer(
        model=model,
        reward_funcs=trl_reward(preset.policy),
        args=args,
        train_dataset=grpo_dataset(rows, preset),
        processing_class=processor,
        peft_config=preset.lora_config(),
    )
