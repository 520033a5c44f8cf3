"""What a person sees of training: one bar with the few figures that tell how it goes."""

from typing import Any

SHOWN = ("loss", "reward", "accuracy", "format", "dev/accuracy")


def show_progress(trainer: Any) -> None:
    """Replace what prints every log entry by a bar with the newest figures; none with `disable_tqdm`.

    The whole log is in trainer_state.json.
    """
    from transformers import PrinterCallback, ProgressCallback

    class Bar(ProgressCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.figures: dict[str, str] = {}

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if state.is_world_process_zero and self.training_bar is not None:
                self.figures = self.figures | {name: f"{logs[name]:.3g}" for name in SHOWN if name in logs}
                self.training_bar.set_postfix(self.figures)

    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    if not trainer.args.disable_tqdm:
        trainer.add_callback(Bar())


def quiet_loading() -> None:
    """Switch off the bars of loading and saving, which last a moment in the middle of the training bar."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
