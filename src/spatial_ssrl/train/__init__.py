"""Cold start and GRPO: a preset and a dataset folder in, a model folder out.

Importing this room loads neither torch nor transformers; `train` does.
"""

from pathlib import Path

from spatial_ssrl.train.preset import Dev, Preset

__all__ = ["Dev", "Preset", "train"]


def train(preset: Preset, dataset: Path | None, out: Path, resume: bool = True, command: str | None = None) -> Path:
    """Train as the preset says on a dataset folder, and return the folder of the trained model, OUT/model.

    A preset with a stream needs no dataset.

    An OUT that holds the same run goes on from its last whole checkpoint, to the end that it would
    have had without the interruption; with `resume` false it starts again. Leaves beside the model
    OUT/preset.json and OUT/trainer_state.json, whose `log_history` holds every curve. `command` is named by the model's
    card. Raises SourceError, RecipeError, DatasetError, TrainingError or MissingExtraError.
    """
    from spatial_ssrl.train.run import run

    return run(preset, dataset, out, resume, command)
