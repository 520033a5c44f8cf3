"""transformers in this process, in batches; bfloat16 on a GPU."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate.backends import Decoding, Outcome, Prompt
from spatial_ssrl.evaluate.backends.media import encoded
from spatial_ssrl.rng import digest

BATCH = 32


class Local:
    """A model folder or hub name; loaded when it is first asked."""

    name = "transformers"

    def __init__(self, model: str, batch_size: int = BATCH) -> None:
        self.model = model
        self.batch_size = batch_size
        self.identity: dict[str, Any] = {"model": model, "model_files": fingerprint(Path(model))}

    def ask(self, prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[Outcome]:
        """Outcomes batch by batch. Sampled replies come from one stream, so a resumed run draws others."""
        model, processor = vlm.load(self.model)
        import torch

        torch.manual_seed(decoding.seed)
        for start in range(0, len(prompts), self.batch_size):
            rows: dict[int, dict[str, Any]] = {}
            for place, prompt in enumerate(prompts[start : start + self.batch_size], start):
                try:
                    text, pictures = encoded(prompt, decoding.frames)
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
