"""GRPO on a stream: rows are drawn as training asks for them, and a checkpoint knows where to go on.

TRL reads an iterable dataset in the training process, and accelerate a batch ahead of its use. So rows are made by
processes of the stream, and what a checkpoint holds is the state after the last rows that were trained on, not after
the last ones that were read. A resumed trainer skips the batches before; the rows it skips are blanks, and cost nothing.
Every process of a distributed run draws the same rows and takes its part of each batch.
"""

import functools
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.reward.trl import RewardFunction
from spatial_ssrl.streaming import Stream, stream
from spatial_ssrl.train.curriculum import Curriculum
from spatial_ssrl.train.data import REWARD_COLUMNS
from spatial_ssrl.train.groups import Group, accuracies
from spatial_ssrl.train.preset import Preset

SAMPLE = 64
"""Rows whose prompts are measured before training."""
STATE = "StreamState"
BLANK = {"id": ""}
"""Stands for a row that was trained on before the run was resumed."""


def sample_stream(preset: Preset, split: str, n: int) -> Any:
    """The first rows of a split's stream, as a `datasets.Dataset` with encoded images."""
    import datasets

    assert preset.stream
    rows = stream(preset.stream.sources, preset.stream, split=split)
    return datasets.Dataset.from_list(list(itertools.islice(rows, n)))


class Streamed:
    """The rows of a preset's stream as TRL reads them, and what training tells the stream."""

    def __init__(self, preset: Preset, args: Any) -> None:
        assert preset.stream
        self.preset, self.args = preset, args
        self.rows_a_generation = args.generation_batch_size // args.num_generations
        settings: dict[str, Any] = {"workers": args.dataloader_num_workers, "ahead": self.rows_a_generation}
        args.dataloader_num_workers = 0  # TRL's rule; the stream has its own
        self.stream: Stream = stream(preset.stream.sources, preset.stream, **settings)
        if preset.curriculum:
            self.stream.chooser = Curriculum(entry.name for entry in self.stream.plan.entries)
        self.blanks = 0
        """Rows that were trained on before this run was resumed."""
        self.read: list[int] = []
        """Numbers of the rows that were read since."""

    def dataset(self) -> Any:
        """The rows as a `datasets.IterableDataset`, whose images stay encoded until `collate`."""
        import datasets

        return datasets.IterableDataset.from_generator(self._examples)

    def collate(self, examples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A batch with its images decoded; copies of a row share theirs."""
        if examples[0] == BLANK:
            return list(examples)  # type: ignore[arg-type]
        decoded = {example["id"]: vlm.pictures(example) for example in examples}
        return [{**example, "images": decoded[example["id"]]} for example in examples]

    def hearing(self, reward: RewardFunction) -> RewardFunction:
        """The reward, which also tells the curriculum how groups fared."""

        @functools.wraps(reward)
        def heard(completions: Sequence[Any], log_metric: Any, **columns: Any) -> list[float]:
            if isinstance(self.stream.chooser, Curriculum):
                self._teach(self.stream.chooser, accuracies(completions, columns, self.preset.policy))
            for name, value in self._figures().items():
                log_metric(name, value)
            return reward(completions=completions, log_metric=log_metric, **columns)

        return heard

    def callback(self) -> Any:
        """Has the trainer write the stream's state into each checkpoint's trainer_state.json."""
        from transformers import TrainerCallback
        from transformers.trainer_callback import ExportableState

        streamed = self

        class StreamState(TrainerCallback, ExportableState):  # type: ignore[misc]
            step = 0

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                self.step = state.global_step

            def state(self) -> dict[str, Any]:
                return {"args": {}, "attributes": streamed.state(self.step)}

        return StreamState()

    def state(self, step: int) -> dict[str, Any]:
        """Rows that are done with after an update, and the state of the stream after them."""
        generations = step * self.args.gradient_accumulation_steps
        generations //= self.args.steps_per_generation * self.args.num_iterations
        done = generations * self.rows_a_generation
        later = self.read[max(0, done - self.blanks) :]
        return {"rows": done, "stream": self.stream.state_dict(later[0] if later else None)}

    def restore(self, checkpoint: str) -> None:
        """Go on from the state in a checkpoint."""
        saved = json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))
        state = saved["stateful_callbacks"][STATE]["attributes"]
        self.stream.load_state_dict(state["stream"])
        self.blanks = state["rows"]

    def _examples(self) -> Iterator[Mapping[str, Any]]:
        yield from itertools.repeat(BLANK, self.blanks)
        for row in self.stream:
            self.read.append(self.stream.number - 1)
            yield {
                "prompt": vlm.conversation(row["problem"], self.preset.instruction),
                "images": row["images"],
                **{name: row[name] for name in REWARD_COLUMNS},  # type: ignore[literal-required]
            }

    @staticmethod
    def _teach(curriculum: Curriculum, groups: Mapping[Group, list[float]]) -> None:
        for task, variant, identity in sorted(groups):
            curriculum.update(task, variant, groups[task, variant, identity])

    def _figures(self) -> dict[str, float]:
        """What is logged: files left out, and the curriculum."""
        figures = {"stream/skipped": float(len(self.stream.skipped))}
        if isinstance(self.stream.chooser, Curriculum):
            figures |= {f"curriculum/weight/{task}": w for task, w in self.stream.chooser.task_weights().items()}
            figures |= {f"curriculum/success/{name}": p for name, p in self.stream.chooser.success.items()}
        return figures
