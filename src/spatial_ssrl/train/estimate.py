"""Memory and time of a training run, by arithmetic alone: an estimate before a GPU is rented, not a measurement.

Of each GPU, in bytes:

    weights      parameters x bytes of their type
    16-bit copy  of float32 weights while they are used: of all layers, of one where they are sharded
    reference    as the weights: the frozen model from which GRPO's KL is taken; LoRA takes its own base
    training     12 for each trained parameter: gradient and two moments of Adam, float32
    activations  2 x hidden a token and layer kept, and 34 x hidden a token in the layer that is computed
                 (Korthikanti et al. 2022, without its attention term; all layers without checkpointing)
    logits       10 x vocabulary a supervised token: bfloat16, float32, gradient
    cache        while replies are generated: 4 x key width a token and layer, for all that are generated at once
    vLLM         the share that it is given; none where it is a server, and while training none where it sleeps

Where all weights are trained, weights, reference and training are sharded over the GPUs; with LoRA each
GPU holds the model whole. Activations and logits are not needed while replies are generated: the larger counts.

Time, in floating-point operations a token: 2 x parameters forward, 4 backward (2 with LoRA, whose base gets
no gradient), 2 for what checkpointing computes again; GRPO forward once more for the old policy where
a generation serves several updates, once for the reference and once for the prompt while generating. Then each
token of a reply reads the weights and the cache from memory, for all replies of a GPU together. Development rows
are prompts and replies alone, by transformers, whose GPUs share them.
"""

import math
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from spatial_ssrl.vlm import BATCH

GIB = 2**30
GPU_BYTES = 80e9
GPU_FLOPS = 989e12
GPU_BANDWIDTH = 3.35e12
COMPUTE_SHARE, BANDWIDTH_SHARE = 0.35, 0.5
LAYER_SECONDS = 1e-3
REPLY_TOKENS = 256
"""Mean length that GRPO's replies are taken to have."""
ASSUMED = (
    "H100 80 GB: 989 TFLOP/s in bfloat16, of which 35% are used, and 3.35 TB/s, of which 50%; "
    "1 ms a layer and token where transformers generates; fragmentation and communication left out"
)
"""What the estimate takes for granted."""


class Shape(BaseModel):
    """The figures of a model that its memory and time rest on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: int = Field(ge=1)
    linear_widths: int = Field(ge=1)
    """Inputs and outputs of all linear layers but the last, added up: LoRA of rank r has r times as many parameters."""
    layers: int = Field(ge=1)
    hidden: int = Field(ge=1)
    vocabulary: int = Field(ge=1)
    key_width: int = Field(ge=1)
    """Key heads x their size."""
    token_side: int = Field(ge=1)
    """Side in pixels of what one visual token shows."""


@dataclass(frozen=True)
class Load:
    """What one run asks of its GPUs; lengths in tokens."""

    shape: Shape
    gpus: int
    prompt: float
    """Mean length."""
    reply: float
    """Mean length."""
    longest: int
    """Prompt and reply together."""
    longest_reply: int
    sequences: int
    """That one GPU computes at once."""
    batch: int
    """Sequences of an update on all GPUs."""
    weight_bytes: int
    rank: int | None = None
    """Of LoRA; None where all weights are trained."""
    checkpointing: bool = True
    generated: int = 0
    """Replies that one GPU generates at once; 0 in the cold start."""
    reuse: float = 1.0
    """Updates that a generation serves."""
    reference: bool = False
    """GRPO keeps a frozen model for its KL."""
    vllm_share: float | None = None
    """Of a GPU's memory, where vLLM generates; 0 where it does on other GPUs."""
    vllm_sleeps: bool = False
    """vLLM gives its memory back while the model trains (TRL puts it to sleep at level 2: weights and cache)."""
    vllm_longest: int = 0
    """Tokens of a sequence for which vLLM must have room, where it is told more than the longest."""
    measurements: float = 0.0
    """On the development rows, an update."""
    dev_rows: int = 0
    dev_reply: int = 0
    """Tokens of a reply to a development row, at most."""

    @property
    def trained(self) -> int:
        """Parameters that are trained."""
        return self.shape.parameters if self.rank is None else self.rank * self.shape.linear_widths

    def memory(self, gpu_bytes: float = GPU_BYTES) -> dict[str, float]:
        """Bytes on one GPU of this size, by part; their sum is the most that is held at one time."""
        s, shards = self.shape, self.gpus if self.rank is None else 1
        tokens = self.sequences * self.longest
        kept, computed = (s.layers, 1) if self.checkpointing else (0, s.layers)
        supervised = self.sequences * self.longest_reply if self.generated else tokens
        step = {
            "activations": (2.0 * kept + 34 * computed) * s.hidden * tokens,
            "logits": 10.0 * s.vocabulary * supervised,
        }
        cache = {"cache": self._cache(self.generated * self.longest)}
        if self.vllm_share is None:
            generating = cache
        else:
            generating = {"vLLM": self.vllm_share * gpu_bytes}
            if not self.vllm_sleeps:
                step |= generating
        parts = {
            "weights": self.weight_bytes * s.parameters / shards,
            "16-bit copy": 2 * s.parameters / (s.layers if shards > 1 else 1) if self.weight_bytes > 2 else 0.0,
            "reference": self.weight_bytes * s.parameters / shards if self.reference and self.rank is None else 0.0,
            "training": 12.0 * self.trained / shards,
            **max(generating, step, key=lambda phase: sum(phase.values())),
        }
        return {name: size for name, size in parts.items() if size}

    def seconds(self) -> dict[str, float]:
        """Seconds of one update, by part."""
        backward = 4 if self.rank is None else 2
        passes = 2 + backward + 2 * self.checkpointing + 2 * self.reference + 2 * (self.generated > 0 and self.reuse > 1)
        tokens = self.batch * (self.prompt + self.reply)
        parts = {"training": self._compute(passes * tokens)}
        if self.generated:
            latency = LAYER_SECONDS if self.vllm_share is None else 0.0
            replies = self._decode(self.generated, self.longest_reply, latency)
            parts["generating"] = (self._compute(2 * self.gpus * self.generated * self.prompt) + replies) / self.reuse
        if self.measurements:
            parts["development"] = self.measurements * self._measuring()
        return parts

    def fits(self, gpu_bytes: float = GPU_BYTES) -> bool:
        """Whether a GPU of this size has memory for it, and vLLM within its share."""
        return self.vllm_needs() <= (self.vllm_share or 0) * gpu_bytes and sum(self.memory(gpu_bytes).values()) <= gpu_bytes

    def vllm_needs(self) -> float:
        """Bytes that vLLM needs of each GPU that trains: its own 16-bit weights, and the cache of one longest sequence."""
        if not self.vllm_share:
            return 0.0
        return 2.0 * self.shape.parameters + self._cache(max(self.longest, self.vllm_longest))

    def _cache(self, tokens: float) -> float:
        """Bytes of the keys and values of so many tokens."""
        return 4.0 * self.shape.layers * self.shape.key_width * tokens

    def _measuring(self) -> float:
        """Seconds of one measurement on the development rows."""
        batches = math.ceil(self.dev_rows / self.gpus / BATCH)
        replies = self._decode(min(self.dev_rows, BATCH), self.dev_reply, LAYER_SECONDS)
        return self._compute(2 * self.dev_rows * self.prompt) + batches * replies

    def _compute(self, passes: float) -> float:
        return passes * self.shape.parameters / (self.gpus * GPU_FLOPS * COMPUTE_SHARE)

    def _decode(self, replies: int, longest_reply: int, latency: float) -> float:
        """Until the longest of the replies that are generated together ends, taken as twice the mean."""
        s, steps = self.shape, min(2 * self.reply, longest_reply)
        cache = self._cache(replies * (self.prompt + self.reply / 2))
        read = (2 * s.parameters + cache) / (GPU_BANDWIDTH * BANDWIDTH_SHARE)
        return steps * max(read, s.layers * latency)
