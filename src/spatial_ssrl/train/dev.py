"""Accuracy on development rows while training: measured greedily, logged, and the best model kept."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from spatial_ssrl import vlm
from spatial_ssrl.reward import Policy, score
from spatial_ssrl.train.data import sample_rows
from spatial_ssrl.train.preset import Dev

ACCURACY, UNPARSED = "dev/accuracy", "dev/unparsed"


class Development(TrainerCallback):  # type: ignore[misc]
    """Logs dev/accuracy and dev/unparsed; keeps no state of its own, so a resumed run goes on as it was."""

    def __init__(self, trainer: Any, dev: Dev, policy: Policy, rows: Any, best: Path) -> None:
        self.trainer, self.dev, self.policy, self.best = trainer, dev, policy, best
        self.rows = sample_rows(rows, dev.rows, trainer.args.seed)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 0:
            self._measure(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self.dev.every and state.global_step < state.max_steps:
            return
        should_log = control.should_log
        accuracy = self._measure(state)
        control.should_log = should_log  # which the measurement's own entry has cleared
        if self.dev.stop_accuracy and accuracy >= self.dev.stop_accuracy:
            control.should_training_stop = True

    def _measure(self, state: Any) -> float:
        """Log the accuracy now, and save the trained weights when none was better."""
        replies = self._ask()
        scores = [score(reply, row, self.policy) for reply, row in zip(replies, self.rows, strict=True)]
        accuracy = sum(s.accuracy for s in scores) / len(scores)
        unparsed = sum(s.parsed is None for s in scores) / len(scores)
        earlier = [entry[ACCURACY] for entry in state.log_history if ACCURACY in entry]
        self.trainer.model.eval()  # or GRPOTrainer would flush its training metrics into this entry
        self.trainer.log({ACCURACY: accuracy, UNPARSED: unparsed})
        self.trainer.model.train()
        if accuracy >= max(earlier, default=0.0) and state.is_world_process_zero:
            self._keep()
        return accuracy

    def _ask(self) -> list[str]:
        from trl.models import unwrap_model_for_generation

        trainer = self.trainer
        trainer.model.eval()
        with (
            unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model,
            trainer.compute_loss_context_manager(),
        ):
            replies = list(
                vlm.generate(model, trainer.processing_class, self.rows, max_new_tokens=self.dev.max_new_tokens)
            )
        trainer.model.train()
        return replies

    def _keep(self) -> None:
        """Write the weights that are trained: all, or those of the adapter."""
        from safetensors.torch import save_file

        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        trained = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        temporary = self.best.with_suffix(".tmp")
        save_file(trained, temporary)
        temporary.replace(self.best)
