"""Accuracy on development rows while training: measured greedily, logged, and the best model kept."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.reward import score
from spatial_ssrl.train.data import sample_rows
from spatial_ssrl.train.preset import Preset
from spatial_ssrl.train.sharding import trained_weights

ACCURACY, UNPARSED = "dev/accuracy", "dev/unparsed"


class Development:
    """Logs dev/accuracy and dev/unparsed; keeps no state of its own, so a resumed run goes on as it was."""

    def __init__(self, trainer: Any, preset: Preset, rows: Any, best: Path) -> None:
        assert preset.dev is not None
        self.trainer, self.preset, self.dev, self.best = trainer, preset, preset.dev, best
        self.rows = sample_rows(rows, self.dev.rows, trainer.args.seed)

    def watch(self) -> None:
        """Have the trainer call `measure` before the first step, every so many steps, and after the last."""
        from transformers import TrainerCallback

        development = self

        class Watch(TrainerCallback):  # type: ignore[misc]
            def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if state.global_step == 0:
                    development.measure(state)

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if state.global_step % development.dev.every == 0 or state.global_step >= state.max_steps:
                    should_log = control.should_log
                    enough = development.is_enough(development.measure(state))
                    control.should_log = should_log  # which the measurement's own entry has cleared
                    control.should_training_stop |= enough
                    control.should_save &= not enough  # a run resumed from here would not know that it had ended

        self.trainer.add_callback(Watch())

    def is_enough(self, accuracy: float) -> bool:
        """Whether training can stop at this accuracy."""
        return self.dev.stop_accuracy is not None and accuracy >= self.dev.stop_accuracy

    def measure(self, state: Any) -> float:
        """The accuracy now, logged; the trained weights are saved when none was better."""
        accuracy, unparsed = (sum(figures) / len(self.rows) for figures in zip(*self._scores(), strict=True))
        earlier = [entry[ACCURACY] for entry in state.log_history if ACCURACY in entry]
        self.trainer.model.eval()  # in training mode GRPOTrainer would move its own metrics into this entry
        self.trainer.log({ACCURACY: accuracy, UNPARSED: unparsed})
        self.trainer.model.train()
        if accuracy >= max(earlier, default=0.0):
            self._keep()
        return accuracy

    def _scores(self) -> list[tuple[float, bool]]:
        """Of each row its accuracy, and whether no answer could be read. Every process asks its part of the rows.

        All ask equally many, some rows twice, since processes that share a model's weights must generate in step.
        """
        from accelerate.utils import gather_object

        n, processes = len(self.rows), self.trainer.args.world_size
        places = range(self.trainer.args.process_index, math.ceil(n / processes) * processes, processes)
        replies = self._ask([self.rows[i % n] for i in places])
        scores = [score(reply, self.rows[i], self.preset.policy) for i, reply in zip(places, replies, strict=True) if i < n]
        return gather_object([(s.accuracy, s.parsed is None) for s in scores])

    def _ask(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        from trl.models import unwrap_model_for_generation

        trainer, tokens = self.trainer, self.dev.max_new_tokens
        trainer.model.eval()
        with (
            unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model,
            trainer.compute_loss_context_manager(),
        ):
            asked = vlm.generate(
                model,
                trainer.processing_class,
                rows,
                max_new_tokens=tokens,
                batch_size=self.dev.batch_size,
                instruction=self.preset.instruction,
            )
            replies = list(asked)
        trainer.model.train()
        return replies

    def _keep(self) -> None:
        """Write the weights that are trained: all, or those of the adapter."""
        from safetensors.torch import save_file

        trained = trained_weights(self.trainer)
        if not self.trainer.is_world_process_zero():
            return
        temporary = self.best.with_suffix(".tmp")
        save_file(trained, temporary)
        temporary.replace(self.best)
