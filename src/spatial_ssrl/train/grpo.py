"""GRPO: replies are sampled, scored by the reward of this project, and reinforced within their group."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.reward import score
from spatial_ssrl.reward.trl import RewardFunction, reply_text, trl_reward
from spatial_ssrl.train.data import grpo_dataset
from spatial_ssrl.train.groups import telling_groups
from spatial_ssrl.train.preset import Preset
from spatial_ssrl.train.streamed import Streamed

SAMPLED = 16
"""Replies in a sample."""


def grpo_trainer(preset: Preset, args: Any, model: Any, processor: Any, rows: Any) -> Any:
    """TRL's GRPOTrainer, corrected, with one reward function, on rows of a dataset or on a stream."""
    from spatial_ssrl.train.overrides import corrected_grpo_trainer

    args.generation_kwargs = silence(args, vlm.vision_token_ids(processor))
    reward = telling_groups(trl_reward(preset.policy, preset.partial_credit), preset.policy)
    reward = sampling(reward, preset, Path(args.output_dir) / "replies")
    streamed = rows if isinstance(rows, Streamed) else None
    trainer = corrected_grpo_trainer(
        processor,
        model=model,
        reward_funcs=streamed.hearing(reward) if streamed else reward,
        args=args,
        train_dataset=streamed.dataset() if streamed else grpo_dataset(rows, preset),
        peft_config=preset.lora_config(),
    )
    if streamed:
        trainer.data_collator = streamed.collate
        trainer.add_callback(streamed.callback())
    return trainer


def silence(args: Any, tokens: list[int]) -> dict[str, Any]:
    """The preset's generation_kwargs, and what keeps the generator from saying these tokens; see `vlm.VISION_TOKENS`."""
    given = dict(args.generation_kwargs or {})
    # vLLM has no suppress_tokens, and transformers no logit_bias; -100 leaves a probability of 1e-43
    if args.use_vllm:
        given["logit_bias"] = {**(given.get("logit_bias") or {}), **dict.fromkeys(tokens, -100.0)}
    else:
        given["suppress_tokens"] = [*(given.get("suppress_tokens") or []), *tokens]
    return given


def sampling(reward: RewardFunction, preset: Preset, folder: Path) -> RewardFunction:
    """The reward, which every so many updates also writes FOLDER/step-N.jsonl: replies before update N, with scores."""

    @functools.wraps(reward)
    def sampled(completions: Sequence[Any], trainer_state: Any, **columns: Any) -> list[float]:
        step = trainer_state.global_step
        if trainer_state.is_world_process_zero and step >= _next_sample(folder, preset.replies_every):
            _write_sample(folder / f"step-{step:06d}.jsonl", completions[:SAMPLED], columns, preset)
        return reward(completions=completions, **columns)

    return sampled


def _next_sample(folder: Path, every: int) -> int:
    """The step from which a sample is due; read from the samples there are, so that a resumed run writes the same ones."""
    last = max((int(path.stem.removeprefix("step-")) for path in folder.glob("step-*.jsonl")), default=-every)
    return (last // every + 1) * every


def _write_sample(path: Path, completions: Sequence[Any], columns: dict[str, Any], preset: Preset) -> None:
    path.parent.mkdir(exist_ok=True)
    lines = []
    for i, completion in enumerate(completions):
        row = {key: columns[key][i] for key in ("id", "task", "variant", "answer", "grammar", "options")}
        s = score(reply_text(completion), row, preset.policy, preset.partial_credit)
        said = {"reply": reply_text(completion), "reward": s.total, "parsed": s.parsed, "why": s.why}
        lines.append(json.dumps({key: row[key] for key in ("id", "task", "variant", "answer")} | said, ensure_ascii=False))
    temporary = path.with_suffix(".tmp")
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.replace(path)
