"""Does the generator compute what the trainer computes? Checked after every generation of a run with vLLM.

Both give a log-probability to every token that was sampled. With equal weights, prompts and images the two differ by
rounding alone: bfloat16 leaves less than 0.02 on average. Corrupted prompts or other pixel limits leave 0.14 to 0.35.
"""

import warnings

from spatial_ssrl.errors import TrainingError

LOGP_DIFFERENCE = "sampling/sampling_logp_difference/mean"
"""TRL's name of the mean absolute difference, over all sampled tokens of all processes."""
WARN_ABOVE = 0.05
STOP_ABOVE = 0.2
"""For the first generation alone. Later ones may drift apart on long replies, and a run of days is not to end by that."""
CAUSES = (
    "vLLM's weights (were they synchronised? does the server serve this model?), its pixel limits (min_pixels and max_pixels"
    " are to equal the preset's), sampling keys such as top_k or repetition_penalty, and versions of vllm, transformers"
    " and trl that were not tested together"
)


class GuardWarning(UserWarning):
    """The generator and the trainer differ more than rounding explains."""


class Guard:
    """Warns of a difference above `WARN_ABOVE`, and ends a run whose first generation differs by more than `STOP_ABOVE`."""

    def __init__(self) -> None:
        self.generations = 0

    def check(self, difference: float, update: int) -> None:
        """Take the difference of one generation, made before update number `update`. Raises TrainingError."""
        self.generations += 1
        found = (
            f"the generator's log-probabilities differ from the trainer's by {difference:.3f} on average at update {update};"
            f" expected below {WARN_ABOVE}"
        )
        if self.generations == 1 and difference > STOP_ABOVE:
            raise TrainingError(f"{found}. Training would learn from replies to other prompts than it sees. Check {CAUSES}")
        if difference > WARN_ABOVE:
            warnings.warn(f"{found}. Check {CAUSES}", GuardWarning, stacklevel=2)
