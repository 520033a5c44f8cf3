"""The reward as verl's custom reward function: `reward.custom_reward_function.path=.../spatial_reward.py`.

Read by `get_custom_reward_fn` of verl/trainer/ppo/reward.py and called, a reply at a time, by
verl/experimental/reward_loop/reward_manager/naive.py.
"""

from typing import Any

from spatial_ssrl.reward import Policy, score
from spatial_ssrl.reward.truth import read_truth


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Any = None,
    policy: Policy = "robust",
    partial: bool = False,
    **_: Any,
) -> dict[str, float]:
    """The reward as `score`; verl logs the other values, accuracy as `val-core/<data_source>/acc`.

    Policy and partial credit are set by `+reward.custom_reward_function.reward_kwargs.policy=exact`, `.partial=true`.
    """
    s = score(solution_str, read_truth(ground_truth), policy, partial)
    return {"score": s.total, "acc": s.accuracy, "format": s.format, "unparsed": float(s.parsed is None)}
