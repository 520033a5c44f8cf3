"""How the groups of replies to one row fared, over all processes."""

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from spatial_ssrl.reward import Policy, score
from spatial_ssrl.reward.trl import RewardFunction, reply_text

ALIKE = "frac_accuracy_zero_std"
"""As TRL's frac_reward_zero_std, whose groups also differ by the form alone."""
COLUMNS = ("task", "variant", "id", "answer", "grammar", "options")

Group = tuple[str, str, str]
"""Task, variant and id of the row."""


def accuracies(completions: Sequence[Any], columns: Mapping[str, Any], policy: Policy) -> dict[Group, list[float]]:
    """The accuracy of each reply of each group."""
    from accelerate.utils import gather_object

    rows = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*(columns[name] for name in COLUMNS), strict=True)]
    scores = [score(reply_text(reply), row, policy) for reply, row in zip(completions, rows, strict=True)]
    said = [(row["task"], row["variant"], row["id"], s.accuracy) for row, s in zip(rows, scores, strict=True)]
    groups: dict[Group, list[float]] = defaultdict(list)
    for *group, accuracy in gather_object(said):
        groups[tuple(group)].append(accuracy)
    return groups


def telling_groups(reward: RewardFunction, policy: Policy) -> RewardFunction:
    """The reward, which also logs the share of groups whose replies are all right or all wrong."""

    @functools.wraps(reward)
    def told(completions: Sequence[Any], log_metric: Any, **columns: Any) -> list[float]:
        groups = accuracies(completions, columns, policy).values()
        log_metric(ALIKE, sum(len(set(group)) == 1 for group in groups) / len(groups))
        return reward(completions=completions, log_metric=log_metric, **columns)

    return told
