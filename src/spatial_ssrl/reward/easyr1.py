"""The reward as EasyR1's batch reward function: `worker.reward.reward_function=.../spatial_reward.py:compute_score`.

Called by `AutoRewardManager` of EasyR1's verl/workers/reward/function.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from spatial_ssrl.reward import Policy, score
from spatial_ssrl.reward.truth import read_truth

REWARD_NAME = "spatial_ssrl"
REWARD_TYPE = "batch"


def compute_score(
    reward_inputs: Sequence[Mapping[str, Any]], policy: Policy = "robust", partial: bool = False
) -> list[dict[str, float]]:
    """The reward as `overall`; EasyR1 logs the other values.

    Policy and partial credit are set by `worker.reward.reward_function_kwargs='{policy: exact, partial: true}'`.
    """
    scores = [score(given["response"], read_truth(given["ground_truth"]), policy, partial) for given in reward_inputs]
    return [
        {"overall": s.total, "accuracy": s.accuracy, "format": s.format, "unparsed": float(s.parsed is None)} for s in scores
    ]
