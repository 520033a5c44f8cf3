"""transformers in this process, in batches; bfloat16 on a GPU."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate.backends import Decoding, Outcome, Prompt
from spatial_ssrl.evaluate.backends.media import decoded, encoded
from spatial_ssrl.rng import digest

BATCH = 32


class Local:
    """A model folder or hub name; loaded once, when it is first asked."""

    name = "transformers"

    def __init__(self, model: str, batch_size: int = BATCH) -> None:
        self.model = model
        self.batch_size = batch_size
        self.identity: dict[str, Any] = {"model": model, "model_files": fingerprint(Path(model))}

    @functools.cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return vlm.load(self.model)

    def ask(self, prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[Outcome]:
        """Outcomes batch by batch, each drawn with a seed of its own; a resumed run batches, and so draws, otherwise."""
        model, processor = self._loaded
        import torch

        for start in range(0, len(prompts), self.batch_size):
            first = prompts[start]
            torch.manual_seed(int(digest(decoding.seed, first.sample, first.text, start, size=7), 16))
            rows: dict[int, dict[str, Any]] = {}
            for place, prompt in enumerate(prompts[start : start + self.batch_size], start):
                try:
                    text, pictures = encoded(prompt, decoding.frames)
                    for data in pictures:
                        decoded(data)
                    rows[place] = {"problem": text, "images": [{"bytes": data} for data in pictures]}
                except DatasetError as error:
                    yield Outcome(place, None, str(error))
            settings: dict[str, Any] = {
                "temperature": decoding.temperature,
                "instruction": "",
                "batch_size": self.batch_size,
            }
            texts = vlm.generate(model, processor, list(rows.values()), max_new_tokens=decoding.max_new_tokens, **settings)
            yield from map(Outcome, rows, texts)


def fingerprint(folder: Path) -> str | None:
    """Names, sizes and times of a model folder's weights: a model trained anew is another model."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    parts = [part for f in files for part in (f.name, f.stat().st_size, f.stat().st_mtime_ns)]
    return digest(*parts) if parts else None
