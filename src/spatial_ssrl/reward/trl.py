"""The reward as a reward function of TRL's GRPOTrainer."""

from collections.abc import Callable, Sequence
from typing import Any

from spatial_ssrl.reward import Policy, Score, score

RewardFunction = Callable[..., list[float]]


def trl_reward(policy: Policy = "robust", partial: bool = False) -> RewardFunction:
    """A reward function for `GRPOTrainer(reward_funcs=...)`, with `remove_unused_columns=False`.

    It reads the columns answer, grammar, options and task, and logs accuracy of each task, of each of its levels
    where there is a column level, and the shares of replies that are well formed and that cannot be read.
    """

    def spatial_reward(
        completions: Sequence[Any],
        answer: Sequence[str],
        grammar: Sequence[str],
        options: Sequence[list[str] | None],
        task: Sequence[str],
        level: Sequence[int] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        rows = [{"answer": a, "grammar": g, "options": o} for a, g, o in zip(answer, grammar, options, strict=True)]
        scores = [score(reply_text(reply), row, policy, partial) for reply, row in zip(completions, rows, strict=True)]
        if log_metric:
            names = [(t, f"{t}/level{n}") for t, n in zip(task, level, strict=True)] if level else [(t,) for t in task]
            _log(scores, names, log_metric)
        return [s.total for s in scores]

    return spatial_reward


def _log(scores: Sequence[Score], names: Sequence[tuple[str, ...]], log_metric: Callable[[str, float], None]) -> None:
    """Log reply by reply, under all names; TRL takes the mean over replies and processes."""
    for s, its in zip(scores, names, strict=True):
        for name in its:
            log_metric(f"accuracy/{name}", s.accuracy)
        log_metric("accuracy", s.accuracy)
        log_metric("format", s.format)
        log_metric("unparsed", float(s.parsed is None))


def reply_text(completion: Any) -> str:
    """The reply's text; TRL gives a list with one message where prompts are conversations."""
    return completion if isinstance(completion, str) else str(completion[0]["content"])
