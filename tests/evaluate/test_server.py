"""The server backend against a real HTTP server on this machine that fails by plan."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import wave
from collections import Counter

import pytest

from evaluate.faults import FaultyServer
from evaluate.helpers import QUIET
from evaluate.miniatures import choice_tsv, picture, write_video
from spatial_ssrl.errors import ServerError
from spatial_ssrl.evaluate import BENCHMARKS, Settings, evaluate
from spatial_ssrl.evaluate.backends import Decoding
from spatial_ssrl.evaluate.backends.server import Server

pytest.importorskip("openai")
N = 14


@pytest.fixture
def table(tmp_path):
    choice_tsv(tmp_path / "BLINK.tsv", N)
    return tmp_path / "BLINK.tsv"


def number(text):
    return int(text.split("Which? ")[1].split("\n")[0])


def right(text, images):
    return f"<think>so</think>\\boxed{{{'ABC'[number(text) % 3]}}}"


def run(table, server, out, **settings):
    quick = {"concurrency": 4, "timeout": 0.7, "retries": 3}
    backend = Server("tiny", server.url, **quick)
    return evaluate(BENCHMARKS["blink"](), table, backend, out, Settings(**settings), QUIET)


FAULTS = (429, 500, 503, "time-out", "cut", "malformed", "other", "html")


def test_every_kind_of_fault_is_overcome(table, tmp_path):
    def plan(text, attempt):
        return FAULTS[number(text) % len(FAULTS)] if attempt == 1 else None

    with FaultyServer(right, plan) as server:
        results = run(table, server, tmp_path / "out")
        assert (results.errors, results.overall.accuracy) == (0, 1.0)
        assert set(server.answered.values()) == {1}
        assert set(server.attempts.values()) == {2}
        run(table, server, tmp_path / "out")
        assert sum(server.attempts.values()) == 2 * N


@pytest.mark.parametrize("fault", [500, "cut", "malformed", "time-out"])
def test_what_keeps_failing_is_an_error_of_its_row_and_can_be_retried(table, tmp_path, fault):
    broken = True

    def plan(text, attempt):
        return fault if broken and number(text) == 3 else None

    with FaultyServer(right, plan) as server:
        results = run(table, server, tmp_path / "out")
        assert (results.errors, results.overall.n, results.overall.correct) == (1, N, N - 1)
        broken = False
        assert run(table, server, tmp_path / "out").errors == 1
        before = sum(server.attempts.values())
        results = run(table, server, tmp_path / "out", retry_failed=True)
        assert (results.errors, results.overall.accuracy) == (0, 1.0)
        assert sum(server.attempts.values()) == before + 1


def test_a_server_that_goes_away_is_waited_for(table, tmp_path):
    away = 6  # more than a row's four attempts

    def plan(text, attempt):
        return 503 if number(text) == 9 and attempt <= away else None

    with FaultyServer(right, plan) as server:
        assert run(table, server, tmp_path / "out").errors == 0
        assert server.attempts.most_common(1)[0][1] == away + 1


@pytest.mark.parametrize("status", [401, 404])
def test_a_wrong_key_or_model_ends_the_run(table, tmp_path, status):
    with (
        FaultyServer(right, lambda text, attempt: status) as server,
        pytest.raises(ServerError, match=f"{status} for 'tiny'"),
    ):
        run(table, server, tmp_path / "out")


@pytest.mark.parametrize("concurrency", [4, 2 * N])
def test_nobody_there_ends_the_run_and_leaves_no_errors(table, tmp_path, concurrency):
    with FaultyServer(right) as server:
        pass
    backend = Server("tiny", server.url, concurrency=concurrency, timeout=1, retries=0)
    with pytest.raises(ServerError, match="nobody answers at http://127"):
        evaluate(BENCHMARKS["blink"](), table, backend, tmp_path / "out", Settings(), QUIET)
    with FaultyServer(right) as server:
        assert run(table, server, tmp_path / "out").errors == 0


def test_a_server_that_only_cuts_is_there(table, tmp_path):
    with FaultyServer(right, lambda text, attempt: "cut") as server:
        backend = Server("tiny", server.url, concurrency=4, timeout=1, retries=0)
        assert evaluate(BENCHMARKS["blink"](), table, backend, tmp_path / "out", Settings(), QUIET).errors == N


def test_a_base_url_has_a_scheme():
    with pytest.raises(ServerError, match=r"no base URL: 'localhost:8000/v1'; expected one such as http://"):
        Server("tiny", "localhost:8000/v1")


def test_an_interrupt_does_not_wait_for_replies(table, tmp_path):
    ended = threading.Event()
    with FaultyServer(lambda text, images: ended.wait() and "late") as server:
        options = ["--suite", f"blink={table}", "--out", tmp_path / "out", "--base-url", server.url]
        command = [sys.executable, "-m", "spatial_ssrl.cli", "eval", "tiny", *map(str, options)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while len(server.attempts) < N:
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()  # replies come only after it: who waits for them runs into the global time-out
        ended.set()
    assert process.returncode == 130
    assert "interrupted; the same command goes on where it stopped" in said
    assert "Traceback" not in said


def test_requests_hold_pictures_and_settings(table, tmp_path):
    with FaultyServer(right) as server:
        decoding = Decoding(max_new_tokens=77, temperature=0.5, seed=5)
        run(table, server, tmp_path / "out", samples=2, decoding=decoding, mode="direct")
    assert {r["seed"] for r in server.requests} == {5, 6}
    assert {(r["model"], r["max_tokens"], r["temperature"]) for r in server.requests} == {("tiny", 77, 0.5)}
    first = next(r for r in server.requests if "Which? 0\n" in r["messages"][0]["content"][1]["text"])
    image, text = first["messages"][0]["content"]
    kind, data = image["image_url"]["url"].split(";base64,")
    assert kind == "data:image/jpeg"
    assert base64.b64decode(data) == picture(0)
    assert text["text"].endswith("Answer with the option's letter from the given choices directly.")


def test_videos_are_shown_as_frames(tmp_path):
    pytest.importorskip("av")
    write_video(tmp_path / "arkitscenes" / "1.mp4")
    row = {"mp4_path": "arkitscenes/1.mp4", "question_type": "object_counting", "question": "How many?", "answer": "4"}
    missing, blind = {**row, "mp4_path": "arkitscenes/2.mp4"}, {**row, "mp4_path": "arkitscenes/3.mp4"}
    with wave.open(str(tmp_path / "arkitscenes" / "3.mp4"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(800))
    (tmp_path / "vsi_bench.json").write_text(json.dumps([row, missing, blind]))
    with FaultyServer(lambda text, images: f"\\boxed{{{len(set(images))}}}") as server:
        backend = Server("tiny", server.url)
        settings = Settings(decoding=Decoding(frames=4))
        results = evaluate(
            BENCHMARKS["vsi-bench"](), tmp_path / "vsi_bench.json", backend, tmp_path / "out", settings, QUIET
        )
    assert (results.errors, results.overall.correct) == (2, 1.0)


def test_a_killed_command_goes_on_without_asking_twice(table, tmp_path):
    def slowly(text, images):
        time.sleep(0.15)
        return right(text, images)

    with FaultyServer(slowly) as server:
        options = ["--suite", f"blink={table}", "--out", tmp_path / "out", "--base-url", server.url, "--concurrency", 2]
        command = [sys.executable, "-m", "spatial_ssrl.cli", "eval", "tiny", *map(str, options)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        replies = tmp_path / "out" / "blink" / "reasoning" / "replies.jsonl"
        while not replies.exists() or len(replies.read_text().splitlines()) < 4:
            time.sleep(0.02)
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        stored = {json.loads(line)["id"] for line in replies.read_text().splitlines(keepends=True) if line.endswith("\n")}
        asked = Counter(server.attempts)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert "accuracy" in done.stdout
        again = {str(number(text)) for text, n in server.attempts.items() if n > asked[text] and asked[text]}
        assert not again & stored
        assert len(again) <= 2  # those that were under way when the first was killed
        assert len(replies.read_text().splitlines()) == N
