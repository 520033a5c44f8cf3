"""A tiny Qwen3-VL behind `transformers serve`, killed and restarted, with faults injected in front of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from evaluate.faults import FaultyServer
from evaluate.helpers import QUIET
from evaluate.miniatures import choice_tsv
from spatial_ssrl.evaluate import BENCHMARKS, Settings, evaluate
from spatial_ssrl.evaluate.backends import Decoding
from spatial_ssrl.evaluate.backends.local import Local

for module in ("torch", "openai", "fastapi", "uvicorn"):
    pytest.importorskip(module)

N = 16
SEED = 6
"""Of a model that does not say the same to every question."""
FAULTS = (429, 500, "cut", "malformed", None, 503, "html", None)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from spatial_ssrl.train.tiny import make_tiny

    out = tmp_path_factory.mktemp("model")
    make_tiny("qwen3_vl", ["Which one is left of it? Answer A, B, C or D."] * 50, None, SEED, out)
    return out


class Served:
    """`transformers serve` at a port of its own, which it keeps when it is started again."""

    def __init__(self, model):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url, self.model = f"http://localhost:{self.port}", model

    def __enter__(self):
        command = [sys.executable, Path(__file__).parent / "serve.py", self.model, str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def wait(self):
        while True:
            assert self.process.poll() is None, "the server has ended"
            try:
                return urllib.request.urlopen(f"{self.url}/health").read()
            except OSError:
                time.sleep(0.2)


def number(text):
    return int(text.split("Which? ")[1].split("\n")[0])


def stored(path):
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def until(path, count, process):
    while len(stored(path)) < count:
        assert process.poll() is None, "the command has ended"
        time.sleep(0.02)


def test_a_server_and_a_command_are_killed_and_nothing_is_asked_twice(model, tmp_path):
    choice_tsv(tmp_path / "BLINK.tsv", N)
    suite = ("eval", str(model), "--suite", f"blink={tmp_path}/BLINK.tsv", "--mode", "direct", "--max-new-tokens", "3")
    replies = tmp_path / "out" / "blink" / "direct" / "replies.jsonl"

    def plan(text, attempt):
        return FAULTS[number(text) % len(FAULTS)] if attempt == 1 else None

    with Served(model) as served, FaultyServer(plan=plan, upstream=f"{served.url}/v1") as proxy:
        served.wait()
        options = ("--out", str(tmp_path / "out"), "--base-url", proxy.url, "--concurrency", "2", "--timeout", "30")
        command = [sys.executable, "-m", "spatial_ssrl.cli", *suite, *options]
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(replies, 4, first)
        served.__exit__()
        time.sleep(1)
        with served:
            served.wait()
            until(replies, 8, first)
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            before = stored(replies)
            done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
    after = stored(replies)
    assert after[: len(before)] == before
    assert sorted(int(reply["id"]) for reply in after) == list(range(N))
    assert {reply["error"] for reply in after} == {None}
    twice = {number(text) for text, count in proxy.answered.items() if count > 1}
    assert not twice & {int(reply["id"]) for reply in before}
    assert len(twice) <= 2  # under way when the command was killed
    backend, settings = Local(str(model)), Settings(mode="direct", decoding=Decoding(max_new_tokens=3))
    evaluate(BENCHMARKS["blink"](), tmp_path / "BLINK.tsv", backend, tmp_path / "local", settings, QUIET)
    here = {reply["id"]: reply["reply"].strip() for reply in stored(tmp_path / "local" / "replies.jsonl")}
    assert len(set(here.values())) > 1
    assert {reply["id"]: reply["reply"].strip() for reply in after} == here
