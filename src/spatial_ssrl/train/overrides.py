"""What TRL 1.16 gets wrong for vision-language models, put right. Nothing of TRL is overridden elsewhere.

    with vLLM in the training processes, image pads of a prompt are expanded twice   trl issues 6294, 6401, fix 6718
    vLLM is not told the trainer's pixel limits, nor the type it computes in         found here
    nothing compares the generator with the trainer and stops                        found here
    under FSDP the reference is put on all GPUs by device_map="auto"                 found here
    under FSDP2 only the reference's root is sharded: a forward gathers all of it    found here

`tests/train/test_vllm.py` runs TRL without the first two and asserts that it still differs: once it does not, they can go.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.train.guard import LOGP_DIFFERENCE, Guard
from spatial_ssrl.train.server import check_server, server_errors
from spatial_ssrl.train.sharding import shard_reference

GENERATOR_DTYPE = "bfloat16"
"""In which TRL's trainer computes on a GPU, whatever its weights are. vLLM would take float16 for weights of float32."""


def corrected_grpo_trainer(processor: Any, **arguments: Any) -> Any:
    """TRL's GRPOTrainer, corrected; the arguments are its own."""
    from trl.trainer import grpo_trainer

    corrections = {
        "VLLMGeneration": corrected_generation(vlm.pixel_limits(processor)),
        "create_model_from_path": partial(grpo_trainer.create_model_from_path, device_map=None),
        "prepare_fsdp": shard_reference,
    }
    with replaced(grpo_trainer, corrections):
        return _guarded(grpo_trainer.GRPOTrainer)(processing_class=processor, **arguments)


def corrected_generation(limits: dict[str, int], dtype: str = GENERATOR_DTYPE) -> Any:
    """TRL's VLLMGeneration whose vLLM sees images scaled to the limits, and prompts that it expands once.

    `limits` are `min_pixels` and `max_pixels`, as `vlm.pixel_limits` reads them from the trainer's processor.
    """
    from trl.generation import vllm_generation

    class Generation(vllm_generation.VLLMGeneration):  # type: ignore[misc]
        @property
        def _address(self) -> str:
            return self.server_base_url or f"http://{self.server_host}:{self.server_port}"

        def _init_vllm(self) -> None:
            if self.mode == "server":
                with server_errors(self._address):
                    super()._init_vllm()
                    if self.accelerator.is_main_process:
                        check_server(self.vllm_client, self.processing_class)
                return
            # TRL passes neither; a video never occurs, and memory would be kept for the longest one
            engine = partial(vllm_generation.LLM, mm_processor_kwargs=limits, dtype=dtype, limit_mm_per_prompt={"video": 0})
            with replaced(vllm_generation, {"LLM": engine}):
                super()._init_vllm()

        def sync_weights(self) -> None:
            if self.mode == "server":
                with server_errors(self._address):
                    super().sync_weights()
                return
            super().sync_weights()

        def generate(self, prompts: list[list[int]], images: Any, *args: Any, **kwargs: Any) -> Any:
            if self.mode == "server":
                # TRL's client pairs the expanded prompts with features of the images, so they stay as they are
                with server_errors(self._address):
                    return super().generate(prompts, images, *args, **kwargs)
            pad = self.processing_class.image_token_id
            return super().generate([one_pad_per_image(ids, pad) for ids in prompts], images, *args, **kwargs)

    return Generation


def one_pad_per_image(ids: Sequence[int], pad: int) -> list[int]:
    """Token ids in which each run of image pads is a single one, as vLLM expects them before it expands them itself."""
    return [token for i, token in enumerate(ids) if token != pad or i == 0 or ids[i - 1] != pad]


def _guarded(trainer: Any) -> Any:
    """A trainer that has the guard look at every generation of vLLM's."""

    class GuardedTrainer(trainer):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.guard = Guard(speaks=self.accelerator.is_main_process)

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            output = super()._generate_and_score_completions(inputs)
            if self.use_vllm:
                mode = "train" if self.model.training else "eval"
                self.guard.check(self._metrics[mode][LOGP_DIFFERENCE][-1], self.state.global_step)
            return output

    return GuardedTrainer


@contextmanager
def replaced(module: Any, values: dict[str, Any]) -> Iterator[None]:
    """A module whose names have other values for the time of a `with`."""
    before = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
