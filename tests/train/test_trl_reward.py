from collections import defaultdict

from spatial_ssrl.reward.trl import trl_reward

RIGHT = "<think>Seen.</think>\n\\boxed{0-1}"


def test_rewards_and_what_is_logged():
    logged = defaultdict(list)
    rewards = trl_reward()(
        completions=[[{"role": "assistant", "content": text}] for text in (RIGHT, RIGHT, "\\boxed{1-1}", "no")],
        answer=["0-1", "1-0", "1-1", "0-0"],
        grammar=["label-direction:4"] * 4,
        options=[None] * 4,
        task=["flip", "flip", "crop", "crop"],
        log_metric=lambda name, value: logged[name].append(value),
        prompts=[None] * 4,
        trainer_state=None,
    )
    assert rewards == [1.0, 0.1, 0.9, 0.0]
    assert logged == {
        "accuracy": [1, 0, 1, 0],
        "accuracy/flip": [1, 0],
        "accuracy/crop": [1, 0],
        "format": [1, 1, 0, 0],
        "unparsed": [0, 0, 0, 1],
    }


def test_plain_completions_and_the_exact_policy():
    columns = {"answer": ["A"], "grammar": ["letter:4"], "options": [None], "task": ["crop"]}
    assert trl_reward()(completions=["<think>x</think>\\boxed{(a)}"], **columns) == [1.0]
    assert trl_reward("exact")(completions=["<think>x</think>\\boxed{(a)}"], **columns) == [0.1]
