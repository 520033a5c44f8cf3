"""vLLM's log-probabilities of what it samples against those of transformers, with equal weights, in float32 on a CPU.

    python tests/train/compare_generators.py MODEL DATA GENERATOR MIN_PIXELS MAX_PIXELS

GENERATOR is "corrected" (as a run generates), "trl" (TRL as it is) or a server's address. Prints one line of JSON: the
mean difference over all sampled tokens, and the lengths of the prompts here and there.
"""

import functools
import json
import os
import sys
from pathlib import Path

os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
os.environ |= {"VLLM_LOGGING_LEVEL": "ERROR", "OMP_NUM_THREADS": "1"}

from spatial_ssrl import vlm

REPLIES = 4
TOKENS = 24


def rows_of(data):
    """One row of each task: they have one image or several."""
    from spatial_ssrl.row import read_rows

    return list({row["task"]: row for row in read_rows(Path(data), "train")}.values())


def tokenized(processor, rows):
    """Prompts as TRL's trainer tokenizes them: image pads expanded; and the images' tensors."""
    talks = [vlm.conversation(row["problem"]) for row in rows]
    texts = processor.apply_chat_template(talks, add_generation_prompt=True)
    return [
        processor(text=[text], images=[vlm.pictures(row)], return_tensors="pt")
        for text, row in zip(texts, rows, strict=True)
    ]


def generation(name, model, processor):
    """A generator of TRL's trainers."""
    from accelerate import Accelerator
    from trl.generation import vllm_generation

    from spatial_ssrl.train.overrides import corrected_generation

    # Compilation takes longer than all else here
    vllm_generation.LLM = functools.partial(vllm_generation.LLM, enforce_eager=True)
    kind = vllm_generation.VLLMGeneration if name == "trl" else corrected_generation(vlm.pixel_limits(processor), "float32")
    how = {"mode": "colocate", "max_model_length": 2048, "gpu_memory_utilization": 0.1}
    if name.startswith("http"):
        how = {"mode": "server", "server_base_url": name}
        # The transfer of weights needs CUDA; the server was started with the same ones
        vllm_generation.VLLMClient.init_communicator = lambda self, device: None
    silenced = {"logit_bias": dict.fromkeys(vlm.vision_token_ids(processor), -100.0)}
    return kind(
        model=model,
        accelerator=Accelerator(cpu=True),
        processing_class=processor,
        max_completion_length=TOKENS,
        generation_kwargs=silenced,
        **how,
    )


def logps(model, processor, prompt, reply):
    """What transformers gives to each token of a reply, the vision tokens silenced as in every generator."""
    import torch

    inputs = dict(prompt)
    ids = torch.cat([inputs.pop("input_ids"), torch.tensor([reply])], dim=1)
    inputs["attention_mask"] = torch.ones_like(ids)
    # No token of a reply is an image's
    kinds = inputs["mm_token_type_ids"]
    inputs["mm_token_type_ids"] = torch.cat([kinds, kinds.new_zeros(1, len(reply))], dim=1)
    with torch.no_grad():
        logits = model(input_ids=ids, **inputs).logits[0, -len(reply) - 1 : -1]
    logits[:, vlm.vision_token_ids(processor)] -= 100
    return logits.log_softmax(-1)[range(len(reply)), reply].tolist()


def main():
    folder, data, name, *limits = sys.argv[1:]
    model, processor = vlm.load(folder, "float32", *map(int, limits))
    rows = rows_of(data)
    prompts = [prompt for prompt in tokenized(processor, rows) for _ in range(REPLIES)]
    images = [vlm.pictures(row) for row in rows for _ in range(REPLIES)]
    sent = [prompt["input_ids"][0].tolist() for prompt in prompts]
    seen, replies, sampled, _ = generation(name, model, processor).generate(sent, images, REPLIES)
    differences = [
        abs(theirs[0] - ours)
        for prompt, reply, logprobs in zip(prompts, replies, sampled, strict=True)
        for theirs, ours in zip(logprobs, logps(model, processor, prompt, reply), strict=True)
    ]
    lengths = {"trainer": [len(ids) for ids in sent], "generator": [len(ids) for ids in seen]}
    print(json.dumps({"difference": sum(differences) / len(differences), "equal": sent == seen, **lengths}))


if __name__ == "__main__":
    main()
