"""Does the generator compute what the trainer computes? Checked after every generation of a run with vLLM.

Both give a log-probability to every token that was sampled. With equal weights, prompts and images the two differ by
rounding, and by the probability of the vision tokens, which the generator alone never says: less than 0.02 on average in
bfloat16. Corrupted prompts or other pixel limits leave 0.12 to 0.35.
"""

import warnings

from spatial_ssrl.errors import TrainingError

LOGP_DIFFERENCE = "sampling/sampling_logp_difference/mean"
"""TRL's name of the mean absolute difference over the sampled tokens of a process, averaged over the processes."""
WARN_ABOVE = 0.05
STOP_ABOVE = 0.2
"""For the first generation of a run. Later ones may drift apart, and a run of days is not to end by that."""
CAUSES = (
    "vLLM's weights (were they synchronised? does the server serve this model?), its pixel limits (min_pixels and max_pixels"
    " are to equal the preset's), sampling keys such as top_k or repetition_penalty, and versions of vllm, transformers"
    " and trl that were not tested together"
)


class GuardWarning(UserWarning):
    """The generator and the trainer differ more than rounding explains."""


class Guard:
    """Warns of a difference above `WARN_ABOVE`, and ends a run whose first generation differs by more than `STOP_ABOVE`.

    All processes see the same difference; one `speaks`.
    """

    def __init__(self, speaks: bool = True) -> None:
        self.speaks = speaks

    def check(self, difference: float, update: int) -> None:
        """Take the difference of one generation, made after `update` updates. Raises TrainingError."""
        found = (
            f"the generator's log-probabilities differ from the trainer's by {difference:.3f} on average at update {update};"
            f" expected below {WARN_ABOVE}"
        )
        if update == 0 and difference > STOP_ABOVE:
            raise TrainingError(f"{found}. Training would learn from replies to other prompts than it sees. Check {CAUSES}")
        if self.speaks and difference > WARN_ABOVE:
            warnings.warn(f"{found}. Check {CAUSES}", GuardWarning, stacklevel=2)
