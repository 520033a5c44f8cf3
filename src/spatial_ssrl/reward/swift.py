"""The reward as an outcome reward of ms-swift: `--external_plugins .../spatial_reward.py --reward_funcs spatial_ssrl`.

ms-swift makes one object of the class that its registry `swift.rewards.orms` has under that name, and calls
it with the replies and the columns of their rows (swift/rlhf_trainers/grpo_trainer.py).
"""

from collections.abc import Sequence
from typing import Any

from spatial_ssrl.reward import Policy, score
from spatial_ssrl.reward.truth import read_truth


class SpatialReward:
    """The rewards of replies, by their rows' column `solution`."""

    policy: Policy = "robust"
    partial = False

    def __init__(self, args: Any = None, **_: Any) -> None:
        self.args = args

    def __call__(self, completions: Sequence[str], solution: Sequence[str], **_: Any) -> list[float]:
        pairs = zip(completions, solution, strict=True)
        return [score(reply, read_truth(truth), self.policy, self.partial).total for reply, truth in pairs]
