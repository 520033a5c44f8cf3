"""What verl's RLHFDataset holds in memory of an exported parquet file; one JSON object.

.venv-verl/bin/python bench/verl_memory.py FILE MODEL

MODEL is any Qwen-VL folder, such as the one that `make test-verl` leaves in runs/. `grown_mb` is the peak
after loading less the peak before; `batch_mb` the pickled prompts of 1024 rows, which verl sends to its workers.
"""

import json
import pickle
import resource
import sys

from spatial_ssrl import vlm


def main(file: str, model: str) -> None:
    vlm.prepare_torch()
    from omegaconf import OmegaConf
    from transformers import AutoProcessor
    from verl.utils.dataset.rl_dataset import RLHFDataset

    processor = AutoProcessor.from_pretrained(model)
    config = OmegaConf.create({"filter_overlong_prompts": False})
    before = peak()
    rows = RLHFDataset(data_files=file, tokenizer=processor.tokenizer, processor=processor, config=config)
    grown = peak() - before
    batch = len(pickle.dumps([rows[i]["raw_prompt"] for i in range(min(1024, len(rows)))])) / 1e6
    print(json.dumps({"rows": len(rows), "grown_mb": round(grown), "batch_mb": round(batch, 1)}))


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
