"""vLLM's own server as the generator of GRPO: its command, what is checked before training, and its errors in plain words.

The server is given weights by vLLM's NCCL transfer, for which it must run in developer mode, on GPUs of its own.
"""

import json
import math
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from spatial_ssrl import vlm
from spatial_ssrl.errors import TrainingError


def serve_command(model: str, limits: dict[str, int], max_model_len: int | None = None) -> str:
    """The shell command that serves a model for GRPO's server mode, with the trainer's pixel limits.

    TRL checks the first three options; from vLLM 0.30 on, `--enable-scale-out` opens the endpoints that take images.
    """
    words = ["vllm", "serve", model, "--weight-transfer-config", json.dumps({"backend": "nccl"})]
    words += ["--logprobs-mode", "processed_logprobs", "--max-logprobs", "-1", "--enable-scale-out"]
    words += ["--dtype", "bfloat16", "--limit-mm-per-prompt", json.dumps({"video": 0})]
    words += ["--mm-processor-kwargs", json.dumps(limits)] if limits else []
    words += ["--max-model-len", str(max_model_len)] if max_model_len else []
    return f"VLLM_SERVER_DEV_MODE=1 {shlex.join(words)}"


def check_server(client: Any, processor: Any) -> None:
    """Raise TrainingError for a server whose log-probabilities or images would not be the trainer's.

    `client` is TRL's VLLMClient. Whether images are scaled alike is asked, not read from settings: one image above the
    trainer's upper limit and one below its lower one must take as many tokens there as here.
    """
    mode = client.get_server_info()["model_config"]["logprobs_mode"]
    if mode != "processed_logprobs":
        raise TrainingError(
            f"the vLLM server at {client.base_url} reports {mode}; expected processed_logprobs, which TRL compares with its"
            " own; start it with --logprobs-mode processed_logprobs"
        )
    limits = vlm.pixel_limits(processor)
    if not limits:
        return
    images = processor.image_processor
    # The server refuses what does not fit its context, so a very large upper limit is not reached
    tokens = client.get_server_info()["model_config"]["max_model_len"] // 2
    fitting = math.isqrt(tokens) * images.patch_size * images.merge_size
    large = min(math.isqrt(limits["max_pixels"]) * 5 // 4, fitting)
    for side in (large, max(1, math.isqrt(limits["min_pixels"]) // 2)):
        [features] = client.image_features([[Image.new("RGB", (side, side))]])
        theirs = features["mm_placeholders"]["image"][0]["length"]
        ours = images.get_number_of_image_patches(side, side, {}) // images.merge_size**2
        if theirs != ours:
            raise TrainingError(
                f"the vLLM server at {client.base_url} turns an image of {side} x {side} pixels into {theirs} tokens, the"
                f" trainer into {ours}; start it with --mm-processor-kwargs '{json.dumps(limits)}'"
            )


@contextmanager
def server_errors(url: str) -> Iterator[None]:
    """Turn what TRL's client raises about the server at `url` into a TrainingError."""
    import requests

    try:
        yield
    except (ConnectionError, requests.exceptions.RequestException) as error:
        raise TrainingError(
            f"no vLLM server answers at {url} ({type(error).__name__}); start it, or start it again, as docs/train.md says,"
            " then give the same command: a run goes on from its last checkpoint"
        ) from error
    except Exception as error:
        # TRL's client raises RuntimeError, NotImplementedError and bare Exception; all of its own name the server
        said = str(error)
        if not said.startswith(("Request failed", "The vLLM server", "Weight synchronization")):
            raise
        raise TrainingError(f"the vLLM server at {url} cannot generate for this run: {said}") from error
