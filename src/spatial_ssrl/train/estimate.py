"""Memory and time of a training run, by arithmetic alone: an estimate before a GPU is rented, not a measurement.

Memory was compared with PyTorch's tracker at the models' real shapes, where it is within 15% (docs/results/memory.md,
bench/memory.py). H is the width of a layer, I that of its gated MLP, Q that of its queries; sums are per token of the
text model, and per patch of the vision tower, four of which are a visual token. Of each GPU, in bytes:

    weights      parameters x bytes of their type; in 4 bits the linear layers alone
    reference    as the weights: the frozen model from which GRPO's KL is taken; LoRA takes its own base
    training     gradient and two moments of Adam in the type of the weights; with LoRA the adapter itself and these
                 three, in float32
    inputs       pixels in float32 of all pictures that are held, which TRL keeps from generation to update
    16-bit copy  of float32 weights, which autocast keeps from the first to the last layer of the forward pass, then
                 of two layers (of all without checkpointing); of the largest matrix where weights have 4 bits; where
                 they are sharded, of two layers (one computes, one is gathered), embeddings and head with gradients
    kept         a layer's output, where checkpointing computes the rest anew: 2 H, 4 H with float32 weights;
                 12 H in each merger at the vision tower's end
    layer        what a layer keeps for its backward pass: 18 H + 10 Q + 8 I (inputs, normalised inputs in float32,
                 queries, keys repeated for each head, MLP; 26 H with float32 weights), 5 a query and key that is
                 normalised, and 2 a pair of tokens for the mask. Of all layers without checkpointing, else of one;
                 then in its backward pass 10 I more for gradients and, with LoRA, their float32 copies
    head         log-probabilities in tiles of 4,096 tokens x 32,768 words (TRL 1.16: logits are never whole), 12 H
                 a token of a reply, and the float32 gradient of its weights where these are trained
    cache        while transformers generates replies, to prompts or to development rows: 4 x key width a token and
                 layer, for all at once
    prompts      while it reads these prompts, all at once: 12 I + 10 H a token of the layer that is computed (the MLP, and
                 what PEFT adds to it in float32), first in the vision tower
    vLLM         the share that it is given; none where it is a server, and while training none where it sleeps

The largest of these moments counts: generating; asking development rows; the end of the forward pass; the backward pass of
the head, of a layer of the text model, of a layer of the vision tower. Left out are fragmentation, CUDA's own memory (about
0.5 GB) and buffers of communication.

Where all weights are trained, weights, reference and training are sharded over the GPUs; with LoRA each
GPU holds the model whole.

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


FOUR_BITS = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a weight in NF4: the scale of 64 weights has 8 bits, that of 256 scales 32 (QLoRA, arXiv 2305.14314)."""
HEAD_TOKENS, HEAD_WORDS = 4096, 32768
"""A tile of logits in TRL 1.16 (trl/kernels/chunked_logprob.py, trl/trainer/utils.py)."""
PATCHES = 4
"""In a visual token."""


class Shape(BaseModel):
    """The figures of a model that its memory and time rest on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: int = Field(ge=1)
    linear_parameters: int = Field(ge=1)
    """Weights of all linear layers but the last, which are those that 4 bits can store."""
    linear_widths: int = Field(ge=1)
    """Inputs and outputs of all linear layers but the last, added up: LoRA of rank r has r times as many parameters."""
    layers: int = Field(ge=1)
    hidden: int = Field(ge=1)
    intermediate: int = Field(ge=1)
    """Width of the MLP."""
    query_width: int = Field(ge=1)
    """Heads x their size."""
    query_norm: bool
    """Whether queries and keys are normalised, which keeps them in float32, too."""
    vocabulary: int = Field(ge=1)
    key_width: int = Field(ge=1)
    """Key heads x their size."""
    token_side: int = Field(ge=1)
    """Side in pixels of what one visual token shows."""
    vision_layers: int = Field(ge=1)
    vision_hidden: int = Field(ge=1)
    vision_intermediate: int = Field(ge=1)
    """Width of the MLP in the vision tower; half of it where it is not gated, and so keeps half as much."""
    mergers: int = Field(ge=1)
    """Of the vision tower: what makes four patches a visual token, once, and once for each level of DeepStack."""


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
    visual: int
    """Visual tokens in the pictures of the longest."""
    mean_visual: float
    """The same, of the mean prompt."""
    longest_reply: int
    sequences: int
    """That one GPU computes at once."""
    batch: int
    """Sequences of an update on all GPUs."""
    weight_bytes: float
    """Of a weight: 4 (float32), 2 (bfloat16), or FOUR_BITS in linear layers, with 2 in others."""
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
    dev_batch: int = BATCH
    """That a GPU asks at once."""
    dev_reply: int = 0
    """Tokens of a reply to a development row, at most."""

    @property
    def trained(self) -> int:
        """Parameters that are trained."""
        return self.shape.parameters if self.rank is None else self.rank * self.shape.linear_widths

    def memory(self, gpu_bytes: float = GPU_BYTES) -> dict[str, float]:
        """Bytes on one GPU of this size, by part; their sum is the most that is held at one time."""
        shards = self.gpus if self.rank is None else 1
        weights = self._weights() / shards
        step = max(self._moments(), key=lambda moment: sum(moment.values()))
        measuring = self._asking(min(self.dev_batch, math.ceil(self.dev_rows / self.gpus)), self.dev_reply)
        if self.vllm_share is None:
            generating = self._asking(self.generated, self.longest_reply)
        else:
            generating = {"vLLM": self.vllm_share * gpu_bytes}
            if not self.vllm_sleeps:
                step, measuring = step | generating, measuring | generating
        parts = {
            "weights": weights,
            "reference": weights if self.reference and self.rank is None else 0.0,
            "training": self._training() / shards,
            "inputs": self._pixels() * max(self.sequences * self.visual, self.generated * self.mean_visual),
            **max(generating, step, measuring, key=lambda phase: sum(phase.values())),
        }
        return {name: size for name, size in parts.items() if size}

    def _weights(self) -> float:
        """Bytes of the whole model."""
        s, others = self.shape, max(2.0, self.weight_bytes)
        return self.weight_bytes * s.linear_parameters + others * (s.parameters - s.linear_parameters)

    def _training(self) -> float:
        """Bytes of gradients and moments, and of an adapter."""
        if self.rank is None:
            return 3.0 * self.weight_bytes * self.trained
        return 16.0 * self.trained

    def _pixels(self) -> float:
        """Bytes of a visual token's pixels: three colours, float32, each picture twice in time, as Qwen-VL takes it."""
        return 4.0 * 3 * 2 * self.shape.token_side**2

    def _asking(self, rows: int, reply: int) -> dict[str, float]:
        """What transformers holds, at most, while it replies to so many of the longest prompts together."""
        s, prompt = self.shape, self.longest - self.longest_reply
        seen = PATCHES * rows * self.visual * (12.0 * s.vision_intermediate + 10.0 * s.vision_hidden)
        read = rows * prompt * (12.0 * s.intermediate + 10.0 * s.hidden)
        moments = [
            {"prompts": seen},
            {"prompts": read, "cache": self._cache(rows * prompt)},
            {"cache": self._cache(rows * (prompt + reply))},
        ]
        return max(moments, key=lambda moment: sum(moment.values()))

    def _moments(self) -> list[dict[str, float]]:
        """What is held beside weights, training and inputs at those moments of a step at which it may be most."""
        text_kept, text_layer = self._layers()
        vision_kept, vision_layer = self._vision_layers()
        copy, copy_of_layer = self._copies()
        scored = self.sequences * self.longest_reply
        tile = 2.0 * min(scored, HEAD_TOKENS) * HEAD_WORDS
        head = 12.0 * self.shape.hidden * scored
        head_gradient = 4.0 * self.shape.vocabulary * self.shape.hidden if self.rank is None else 0.0
        kept = text_kept + vision_kept
        return [
            {"activations": kept, "16-bit copy": copy, "head": tile},
            {"activations": kept, "16-bit copy": copy_of_layer, "head": tile + head + head_gradient},
            {"activations": kept + text_layer, "16-bit copy": copy_of_layer},
            {"activations": vision_kept + vision_layer, "16-bit copy": copy_of_layer},
        ]

    def _layers(self) -> tuple[float, float]:
        """Bytes that the text model keeps for its backward pass, and those that one layer then adds."""
        s, tokens = self.shape, self.sequences * self.longest
        attention = 2.0 * tokens * self.longest  # its mask
        if s.query_norm:
            attention += 5.0 * (s.query_width + s.key_width) * tokens
        return self._kept_and_layer(s.layers, s.hidden, s.query_width, s.intermediate, tokens, attention)

    def _vision_layers(self) -> tuple[float, float]:
        """The same of the vision tower, which needs no mask; its mergers are not computed anew."""
        s, patches = self.shape, PATCHES * self.sequences * self.visual
        width = s.vision_hidden
        kept, layer = self._kept_and_layer(s.vision_layers, width, width, s.vision_intermediate, patches, 0.0)
        return kept + 12.0 * s.mergers * width * patches, layer

    def _kept_and_layer(
        self, layers: int, hidden: int, queries: int, mlp: int, tokens: int, attention: float
    ) -> tuple[float, float]:
        wide = self.weight_bytes > 2
        layer = ((26 if wide else 18) * hidden + 10 * queries + 8 * mlp) * tokens + attention
        backward = 10.0 * mlp * tokens
        if self.checkpointing:
            return (4.0 if wide else 2.0) * hidden * layers * tokens, layer + backward
        return layers * layer, backward

    def _copies(self) -> tuple[float, float]:
        """Bytes of 16-bit copies of weights: at the end of the forward pass, and in the backward pass."""
        s = self.shape
        others = s.parameters - s.linear_parameters
        if self.gpus > 1 and self.rank is None:
            gathered = 4.0 * s.linear_parameters / s.layers + 4.0 * others
            return gathered, gathered
        if self.weight_bytes < 2:
            return 0.0, 2.0 * s.hidden * s.intermediate
        adapter = self.trained if self.rank else 0  # float32 even where the model is not
        wide = s.parameters if self.weight_bytes > 2 else adapter
        return 2.0 * wide, 4.0 * wide / s.layers if self.checkpointing else 2.0 * wide

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
        batches = math.ceil(self.dev_rows / self.gpus / self.dev_batch)
        replies = self._decode(min(self.dev_rows, self.dev_batch), self.dev_reply, LAYER_SECONDS)
        return self._compute(2 * self.dev_rows * self.prompt) + batches * replies

    def _compute(self, passes: float) -> float:
        return passes * self.shape.parameters / (self.gpus * GPU_FLOPS * COMPUTE_SHARE)

    def _decode(self, replies: int, longest_reply: int, latency: float) -> float:
        """Until the longest of the replies that are generated together ends, taken as twice the mean."""
        s, steps = self.shape, min(2 * self.reply, longest_reply)
        cache = self._cache(replies * (self.prompt + self.reply / 2))
        read = (2 * s.parameters + cache) / (GPU_BANDWIDTH * BANDWIDTH_SHARE)
        return steps * max(read, s.layers * latency)
