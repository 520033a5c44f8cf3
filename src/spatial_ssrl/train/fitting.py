"""Whether a run fits GPUs of a size, and if not, which settings make it fit: a search by the arithmetic of `estimate`.

The search changes one setting after the other, those first that cost the least, until the run fits. Then it takes back
what turned out not to be needed.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spatial_ssrl.errors import RecipeError
from spatial_ssrl.train.estimate import Load
from spatial_ssrl.train.plan import Rows, foresee
from spatial_ssrl.train.preset import Preset

GB = 1e9
"""As in the names of GPUs, whose memory is a little more: 80 GB of an H100 are 85e9 bytes, 24 GB of an L4 are 24.1e9."""
CONTEXT_GB, FRAGMENTED = 1.5, 0.05
"""Kept free: CUDA's context, its libraries' workspaces and NCCL's buffers take 1 to 1.5 GB of each process, and PyTorch's
allocator leaves some percent between blocks. Both are usual values, not measured by us."""

VLLM_WORK_GB = 2.0
"""What vLLM needs of its share beside weights and cache: a pass over 4,096 tokens (TRL's limit) and their pictures is some
0.5 GB for 7B, CUDA's graphs are about 1 GB. Not measured by us either."""

Make = Callable[[tuple[str, ...]], Preset]
"""The preset under further settings, of the form KEY=VALUE."""


@dataclass(frozen=True)
class Verdict:
    """What a run asks of one GPU, in GB."""

    load: Load
    gpu_memory: float

    @property
    def parts(self) -> dict[str, float]:
        """Of the run, by name."""
        return {name: size / GB for name, size in self.load.memory(self.gpu_memory * GB).items()}

    @property
    def used(self) -> float:
        """In all."""
        return sum(self.parts.values())

    @property
    def free(self) -> float:
        """What is kept free."""
        return CONTEXT_GB + FRAGMENTED * self.gpu_memory

    @property
    def fits(self) -> bool:
        """Whether there is room, for vLLM within its share, too."""
        return self.vllm_needs <= self.vllm_share and self.used + self.free <= self.gpu_memory

    @property
    def vllm_share(self) -> float:
        """What vLLM is given."""
        return (self.load.vllm_share or 0.0) * self.gpu_memory

    @property
    def vllm_needs(self) -> float:
        """What it must have at least, to hold its weights and one longest sequence."""
        return self.load.vllm_needs() / GB + VLLM_WORK_GB if self.load.vllm_share else 0.0

    @property
    def said(self) -> str:
        """In words."""
        sizes = f"{self.used:.0f} of {self.gpu_memory:g} GB"
        if self.fits:
            return f"fits: {sizes}"
        if self.vllm_needs > self.vllm_share:
            return f"does not fit: {sizes}, and vLLM needs {self.vllm_needs:.0f} GB where its share is {self.vllm_share:.0f}"
        return f"does not fit: {sizes}, and {self.free:.1f} GB must stay free"


@dataclass(frozen=True)
class Way:
    """Settings under which a run fits."""

    settings: tuple[str, ...]
    """Of the form KEY=VALUE."""
    gpus: int
    verdict: Verdict


def judge(preset: Preset, rows: Rows, gpus: int, gpu_memory: float) -> Verdict:
    """The verdict on so many GPUs. Raises RecipeError where the preset cannot be run on them at all."""
    preset.spread(gpus)
    return Verdict(foresee(preset, rows, (gpus,)).loads[gpus], gpu_memory)


def find_way(make: Make, rows: Rows, gpus: int, gpu_memory: float) -> Way | None:
    """Settings under which the run fits these GPUs, or else the least more of them, up to 8; None where there are none."""
    numbers = [gpus, *(n for n in (2, 4, 8) if n > gpus)]
    made = functools.cache(make)  # the search asks for the same settings again and again
    ways = (_Search(made, rows, n, gpu_memory).way() for n in numbers)
    return next((way for way in ways if way), None)


@dataclass(frozen=True)
class _Search:
    make: Make
    rows: Rows
    gpus: int
    gpu_memory: float

    def way(self) -> Way | None:
        """The first way on the ladder, without what it does not need."""
        taken: list[Knob] = []
        found = self._try(taken)
        for knob in LADDER:
            if found:
                break
            taken.append(knob)
            found = self._try(taken)
        if not found:
            return None
        for knob in reversed(taken[:-1]):
            fewer = [other for other in taken if other is not knob]
            if shorter := self._try(fewer):
                taken, found = fewer, shorter
        return found

    def _try(self, knobs: Sequence["Knob"]) -> Way | None:
        """The way by these knobs, with another share for vLLM where that is what it takes; None where it does not fit."""
        settings: list[str] = []
        try:
            for knob in knobs:
                settings += knob(self._made(settings), self.gpus)
            shares = ("", *SHARES) if _colocated(self._made(settings)) else ("",)
        except RecipeError:  # such as a batch that cannot be spread over these GPUs
            return None
        for share in shares:
            tried = _last_of_each([*settings, *([share] if share else [])])
            verdict = self._judge(tried)
            if verdict and verdict.fits:
                return Way(tried, self.gpus, verdict)
        return None

    def _made(self, settings: Sequence[str]) -> Preset:
        return self.make(_last_of_each(settings))

    def _judge(self, settings: tuple[str, ...]) -> Verdict | None:
        try:
            return judge(self.make(settings), self.rows, self.gpus, self.gpu_memory)
        except RecipeError:  # such as a checkpoint within a generation
            return None


Knob = Callable[[Preset, int], list[str]]
"""What to set, given the preset so far and the number of GPUs; nothing where it would change nothing."""
SHARES = tuple(f"trainer.vllm_gpu_memory_utilization={share / 100:g}" for share in range(60, 15, -5))
"""Largest first: more memory for vLLM's cache is more replies at once."""


def _colocated(preset: Preset) -> bool:
    trainer = preset.trainer
    return bool(trainer.get("use_vllm")) and trainer.get("vllm_mode", "colocate") == "colocate"


def _last_of_each(settings: Sequence[str]) -> tuple[str, ...]:
    return tuple({setting.partition("=")[0]: setting for setting in settings}.values())


def _fewer_sequences(most: int) -> Knob:
    """At most so many sequences a device, and as many more times, so that an update is the same."""

    def knob(preset: Preset, gpus: int) -> list[str]:
        trainer = preset.trainer
        size = trainer.get("per_device_train_batch_size", 8)
        accumulated = trainer.get("gradient_accumulation_steps", 1)
        total = size * accumulated * preset.gpus
        sizes = [n for n in range(1, min(size, most) + 1) if size % n == 0 and total % (n * gpus) == 0]
        if not sizes or max(sizes) == size:
            return []
        factor = size // max(sizes)
        changed = {"per_device_train_batch_size": max(sizes), "gradient_accumulation_steps": accumulated * factor}
        if "steps_per_generation" in trainer:
            changed["steps_per_generation"] = trainer["steps_per_generation"] * factor
        return [f"trainer.{key}={value}" for key, value in changed.items()]

    return knob


def _replies_for_all(preset: Preset, gpus: int) -> list[str]:
    """As many replies at once as it takes for each GPU to generate some."""
    now, accumulated = preset.trainer.get("steps_per_generation"), preset.trainer.get("gradient_accumulation_steps", 1)
    if now is None or now * preset.gpus % gpus == 0:
        return []
    more = [n for n in range(now, accumulated + 1) if accumulated % n == 0 and n * preset.gpus % gpus == 0]
    return [f"trainer.steps_per_generation={more[0]}"] if more else []


def _fewer_development_rows(most: int) -> Knob:
    def knob(preset: Preset, gpus: int) -> list[str]:
        return [f"dev.batch_size={most}"] if preset.dev and preset.dev.batch_size > most else []

    return knob


def _sleeping_vllm(preset: Preset, gpus: int) -> list[str]:
    awake = _colocated(preset) and not preset.trainer.get("vllm_enable_sleep_mode")
    return ["trainer.vllm_enable_sleep_mode=true"] if awake else []


def _fewer_replies(most: int) -> Knob:
    """At most so many replies generated at once by a GPU, in whole groups. Their pictures are held until they are used."""

    def knob(preset: Preset, gpus: int) -> list[str]:
        if preset.stage != "grpo":
            return []
        trainer = preset.spread(gpus)
        size, accumulated = trainer.get("per_device_train_batch_size", 8), trainer["gradient_accumulation_steps"]
        now = trainer.get("steps_per_generation", accumulated)
        group = trainer.get("num_generations", 8)
        fitting = [n for n in range(1, now) if accumulated % n == 0 and size * n * gpus % group == 0 and size * n <= most]
        if not fitting or size * now <= most:
            return []
        steps, rest = divmod(max(fitting) * gpus, preset.gpus)
        return [] if rest else [f"trainer.steps_per_generation={steps}"]

    return knob


def _smaller_pictures(most: int) -> Knob:
    def knob(preset: Preset, gpus: int) -> list[str]:
        if (preset.max_pixels or most + 1) <= most:
            return []
        smaller = [f"max_pixels={most}"]
        return [*smaller, f"min_pixels={most}"] if (preset.min_pixels or 0) > most else smaller

    return knob


def _shorter_replies(most: int) -> Knob:
    def knob(preset: Preset, gpus: int) -> list[str]:
        if preset.stage != "grpo" or preset.trainer.get("max_completion_length", 512) <= most:
            return []
        shorter = [f"trainer.max_completion_length={most}"]
        if preset.dev and preset.dev.max_new_tokens > most:
            shorter.append(f"dev.max_new_tokens={most}")
        if "vllm_max_model_length" in preset.trainer:
            shorter.append(f"trainer.vllm_max_model_length={preset.max_prompt_tokens + most}")
        return shorter

    return knob


def _lora(preset: Preset, gpus: int) -> list[str]:
    """An adapter instead of all weights. It learns at ten times their rate, as is usual."""
    if preset.lora is not None:
        return []
    adapter = ["lora.r=64", "lora.lora_alpha=128", "lora.target_modules=all-linear", "dtype=bfloat16"]
    return [*adapter, f"trainer.learning_rate={10 * preset.trainer.get('learning_rate', 1e-6):g}"]


def _smaller_rank(preset: Preset, gpus: int) -> list[str]:
    return ["lora.r=16", "lora.lora_alpha=32"] if preset.lora is not None and preset.lora.get("r", 8) > 16 else []


def _no_vllm(preset: Preset, gpus: int) -> list[str]:
    return ["trainer.use_vllm=false"] if preset.trainer.get("use_vllm") else []


def _four_bits(preset: Preset, gpus: int) -> list[str]:
    able = preset.lora is not None and not preset.trainer.get("use_vllm") and not preset.quantize
    return ["quantize=4bit"] if able else []


def _each(knob: Callable[[int], Knob], *values: int) -> Iterator[Knob]:
    yield from map(knob, values)


LADDER: tuple[Knob, ...] = (
    # time alone
    _replies_for_all,
    *_each(_fewer_sequences, 4, 2, 1),
    *_each(_fewer_development_rows, 16, 8, 4),
    _sleeping_vllm,
    *_each(_fewer_replies, 64, 32, 16, 8),
    # what the model sees and says; 401,408 and 1,024 are what public runs of 7B use
    *_each(_smaller_pictures, 1_048_576, 401_408),
    *_each(_shorter_replies, 1024),
    # what is trained
    _lora,
    _no_vllm,
    _smaller_rank,
    _four_bits,
    *_each(_smaller_pictures, 200_704),
    *_each(_shorter_replies, 512),
)
"""In the order of what they cost."""
