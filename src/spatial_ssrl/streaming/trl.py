"""A stream as the environment of TRL's GRPOTrainer (1.16): its `reset` poses a row, and one reply is scored.

    puzzles = stream("my-photographs")
    GRPOTrainer(
        model,
        environment_factory=environment_factory(puzzles),
        reward_funcs=environment_reward(),
        train_dataset=Dataset.from_dict({"number": range(10_000)}),
        args=GRPOConfig(remove_unused_columns=False, ...),
    )

The data set holds numbers of rows, so that the replies of a group are to the same one. An environment without a method
has no tool to call: the reply is its only turn. TRL asks for a chat template that could render tool calls all the same,
which that of Qwen3-VL can, and that of Qwen2.5-VL cannot.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.grammar import FORMAT_INSTRUCTION
from spatial_ssrl.reward import Policy
from spatial_ssrl.reward.trl import RewardFunction, trl_reward
from spatial_ssrl.row import Row
from spatial_ssrl.streaming.endless import Stream

COLUMNS = ("answer", "grammar", "options", "task", "level")


class Rollout:
    """What TRL makes one of for each reply, and uses again for another row."""

    row: Row
    """The row that is posed."""

    def __init__(self, ask: Callable[[int], Row], instruction: str) -> None:
        self._ask, self._instruction = ask, instruction

    def reset(self, number: int, **_: Any) -> list[dict[str, Any]]:
        """The content of the user message that poses row `number`: texts, and pictures in their places."""
        self.row = self._ask(number)
        images = iter(vlm.pictures(self.row))
        parts = vlm.conversation(self.row["problem"], self._instruction)[0]["content"]
        return [{"type": "image", "image": next(images)} if part["type"] == "image" else part for part in parts]


def environment_factory(stream: Stream, instruction: str = FORMAT_INSTRUCTION) -> Callable[[], Rollout]:
    """For `GRPOTrainer(environment_factory=...)`: environments that pose rows of the stream."""
    ask = functools.lru_cache(maxsize=1)(stream.row)  # the replies to a row follow each other
    return lambda: Rollout(ask, instruction)


def environment_reward(policy: Policy = "robust", partial: bool = False) -> RewardFunction:
    """For `GRPOTrainer(reward_funcs=...)`: `trl_reward` by the rows that the environments have posed."""
    scored = trl_reward(policy, partial)

    @functools.wraps(scored)
    def reward(completions: Sequence[Any], environments: Sequence[Rollout], **columns: Any) -> list[float]:
        posed = {name: [rollout.row[name] for rollout in environments] for name in COLUMNS}  # type: ignore[literal-required]
        return scored(completions=completions, **columns | posed)

    return reward
