from spatial_ssrl.evaluate.backends import Outcome

QUIET = lambda done, total, note: None  # noqa: E731


class Scripted:
    """A backend that answers by a function of the prompt and counts what it was asked."""

    name = "scripted"

    def __init__(self, answer, identity="scripted"):
        self.answer, self.identity, self.asked = answer, {"model": identity}, []
        self.setup = {"asked": 0}

    def ask(self, prompts, decoding):
        for place, prompt in enumerate(prompts):
            self.asked.append(prompt)
            self.setup = {"asked": len(self.asked)}
            reply = self.answer(prompt)
            yield reply if isinstance(reply, Outcome) else Outcome(place, reply)


class Refusing(Scripted):
    """A backend that must not be asked."""

    def __init__(self, identity="scripted"):
        super().__init__(None, identity)

    def ask(self, prompts, decoding):
        raise AssertionError(f"asked {len(prompts)} prompts again")
