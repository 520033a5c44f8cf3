"""A stream as an environment: a puzzle is posed, a reply is scored, and the episode is over."""

from typing import Any

from PIL.Image import Image

from spatial_ssrl import vlm
from spatial_ssrl.errors import TrainingError
from spatial_ssrl.grammar import FORMAT_INSTRUCTION
from spatial_ssrl.reward import Policy, score
from spatial_ssrl.row import Row
from spatial_ssrl.streaming.endless import Stream

FACTS = ("id", "task", "variant", "level", "answer", "chance", "margin", "scene_id", "source", "split")


class Environment:
    """Episodes of one reply.

    environment = Environment(stream("my-photographs"))
    prompt, images = environment.reset(seed=7)
    reward, facts = environment.step("<think>...</think>\\\\boxed{B}")
    """

    def __init__(self, stream: Stream, instruction: str = FORMAT_INSTRUCTION, policy: Policy = "robust") -> None:
        self.stream, self.instruction, self.policy = stream, instruction, policy
        self.posed: Row | None = None

    def reset(self, seed: int) -> tuple[vlm.Conversation, list[Image]]:
        """Pose row `seed` of the stream: a conversation of one user message, and the images of its placeholders."""
        self.posed = self.stream.row(seed)
        return vlm.conversation(self.posed["problem"], self.instruction), vlm.pictures(self.posed)

    def step(self, reply: str) -> tuple[float, dict[str, Any]]:
        """The reward of a reply, and the facts: how it was read, the answer, and what was asked.

        Raises TrainingError where no puzzle is posed: each is answered once.
        """
        if self.posed is None:
            raise TrainingError("no puzzle is posed; call reset(seed) before each reply")
        row, self.posed = self.posed, None
        s = score(reply, row, self.policy)
        read = {"accuracy": s.accuracy, "format": s.format, "parsed": s.parsed, "why": s.why}
        return s.total, read | {name: row[name] for name in FACTS}  # type: ignore[literal-required]
