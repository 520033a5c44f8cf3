"""The page of replies and the figures, from real run folders."""

import base64
import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from conftest import run_cli
from evaluate.helpers import QUIET, Scripted
from evaluate.miniatures import write_video
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate import BENCHMARKS, Results, Settings, evaluate
from spatial_ssrl.evaluate.backends.media import decoded, read_frames
from spatial_ssrl.evaluate.figures import write_bars, write_radar
from spatial_ssrl.evaluate.page import write_page
from spatial_ssrl.evaluate.tables import read_runs

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ACTIONS = """
<script>
const said = [], say = () => said.push(shown().length);
const press = key => document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
for (const key of ["2", "3", "4", "1"]) { press(key); say(); }
form.category.value = "c1"; filter(); say();
form.words.value = "Q7"; form.category.value = ""; filter(); say();
press("Escape"); say();
press("j"); press("j");
const edge = form.getBoundingClientRect().bottom + 1;
said.push(shown().findLastIndex(article => article.getBoundingClientRect().top <= edge));
document.title = JSON.stringify(said);
</script>
"""


class Page(HTMLParser):
    """The kinds of a page's articles, what it loads, and its tags."""

    def __init__(self, path):
        super().__init__()
        self.articles, self.sources, self.tags = [], [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attributes = dict(attrs)
        if tag == "article":
            self.articles.append(attributes["data-kinds"].split())
        self.sources += [attributes[name] for name in ("src", "href") if name in attributes]


def folders(runs):
    return [runs / name / "blink" / "reasoning" for name in ("base", "tuned")]


def test_disagreements_come_first(runs, tmp_path):
    path = write_page(folders(runs), tmp_path / "deep" / "page.html", 200)
    page, text = Page(path), path.read_text()
    assert page.articles[:10] == [["all", "second", "disagree"]] * 10
    assert Counter(kinds[1] for kinds in page.articles[10:]) == {"right": 20, "wrong": 10}
    assert "disagree 10<" in text
    assert "better: tuned 10<" in text
    assert "better: base" not in text  # a filter that shows nothing is left out
    assert "50.00" in text
    assert "75.00" in text


def test_a_page_needs_nothing_from_elsewhere(runs, tmp_path):
    page = Page(write_page(folders(runs), tmp_path / "page.html", 200))
    assert sum(source.startswith("data:image/webp;base64,") for source in page.sources) == 40
    assert all(source.startswith(("data:image/webp;base64,", "#q")) for source in page.sources)
    assert not set(page.tags) & {"link", "iframe", "object"}
    assert "http" not in (tmp_path / "page.html").read_text()


@pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine")
def test_filters_and_keys_in_a_browser(runs, tmp_path):
    page = write_page(folders(runs), tmp_path / "page.html", 200)
    page.write_text(page.read_text().replace("</body>", f"{ACTIONS}</body>"))
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom")
    dom = subprocess.run([CHROMIUM, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    # 2 disagree, 3 better: tuned, 4 both right, 1 all; a category; the question q7; all again; the third question
    assert "<title>[10,10,20,40,20,1,40,2]</title>" in dom


def test_a_page_of_one_run_is_cut_at_the_limit(runs, tmp_path):
    page = Page(write_page(folders(runs)[:1], tmp_path / "page.html", 7))
    assert [kinds[1] for kinds in page.articles] == ["right", "wrong"] * 3 + ["right"]


def test_a_page_is_of_one_run_or_two(runs, tmp_path):
    with pytest.raises(DatasetError, match="one run or two; got 3"):
        write_page(folders(runs)[:1] * 3, tmp_path / "page.html", 7)


def test_runs_of_one_model_are_told_by_their_folders(runs, tmp_path):
    text = write_page([folders(runs)[0]] * 2, tmp_path / "page.html", 7).read_text()
    assert f"<b>{folders(runs)[0]}</b>" in text


def test_a_page_may_be_made_elsewhere_but_not_of_another_table(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(runs)
    folder = runs / "here" / "blink" / "reasoning"
    evaluate(BENCHMARKS["blink"](), Path("BLINK.tsv"), Scripted(lambda p: "A"), folder, Settings(), QUIET)
    monkeypatch.chdir("/")
    assert len(Page(write_page([folder], tmp_path / "page.html", 5)).articles) == 5
    was = Results.read(folder).data.md5
    (runs / "BLINK.tsv").write_text((runs / "BLINK.tsv").read_text().replace("q7", "q seven"))
    with pytest.raises(DatasetError, match=rf"BLINK\.tsv has changed since it was asked, MD5 \w+ in place of {was}"):
        write_page([folder], tmp_path / "page.html", 5)


def test_a_video_is_shown_as_four_of_its_frames(tmp_path):
    pytest.importorskip("av")
    write_video(tmp_path / "1.mp4")
    row = {"question_type": "object_counting", "question": "How many?", "answer": "4"}
    rows = [{**row, "mp4_path": f"{i}.mp4"} for i in (1, 2)]
    (tmp_path / "vsi_bench.json").write_text(json.dumps(rows))
    backend = Scripted(lambda p: "4")
    evaluate(BENCHMARKS["vsi-bench"](), tmp_path / "vsi_bench.json", backend, tmp_path / "out", Settings(), QUIET)
    page = Page(write_page([tmp_path / "out"], tmp_path / "page.html", 5))
    frames = [decoded(base64.b64decode(url.split(",")[1])) for url in page.sources if url.startswith("data:")]
    every = list(read_frames(tmp_path / "1.mp4", 40))
    shown, middles = ([f.convert("L").getpixel((20, 20)) for f in some] for some in (frames, every[5::10]))
    assert shown == pytest.approx(middles, abs=3)
    assert len(set(middles)) == 4


def test_hostile_replies_are_text(runs, tmp_path):
    run = folders(runs)[0]
    verdicts = (run / "verdicts.jsonl").read_text().replace("boxed{A}", "<script>alert(1)</script>", 1)
    (run / "verdicts.jsonl").write_text(verdicts)
    assert Page(write_page([run], tmp_path / "page.html", 5)).tags.count("script") == 1


def test_figures(runs, tmp_path):
    found = read_runs([runs / "base", runs / "tuned"])
    svg = write_bars(found, "blink", tmp_path / "bars.svg").read_text()
    assert svg.startswith("<?xml")
    with pytest.raises(DatasetError, match="a radar needs 3 benchmarks that all models ran; got blink"):
        write_radar(found, tmp_path / "radar.svg")
    with pytest.raises(DatasetError, match="no model ran 'vsi-bench'; ran: blink"):
        write_bars(found, "vsi-bench", tmp_path / "bars.svg")
    with pytest.raises(DatasetError, match=r"name it \.svg, \.pdf or \.png"):
        write_bars(found, "blink", tmp_path / "bars.xyz")
    three = {model: dict.fromkeys(("blink", "ocrbench", "whatsup"), run["blink"]) for model, run in found.items()}
    assert write_radar(three, tmp_path / "radar.png").read_bytes()[:4] == b"\x89PNG"


def test_a_category_that_a_run_lacks_is_a_gap(runs, tmp_path):
    short = runs / "short" / "blink" / "reasoning"
    evaluate(BENCHMARKS["blink"](), runs / "BLINK.tsv", Scripted(lambda p: "A"), short, Settings(limit=20), QUIET)
    folders = [runs / name for name in ("base", "tuned", "short")]
    for order in (folders, folders[::-1]):
        svg = write_bars(read_runs(order), "blink", tmp_path / "bars.svg").read_text()
        labels = re.findall(r"<!-- (\S+) -->", svg)
        assert {"c0", "c1"} <= set(labels)
        bars = re.findall(r'<path d="[^"]*" clip-path="[^"]*" style="fill: (#\w+)', svg)
        assert sorted(Counter(bars).values()) == [1, 2, 2]


def test_commands(runs, tmp_path):
    one = run_cli("page", *folders(runs), "--out", tmp_path / "page.html")
    other = run_cli("figure", runs / "base", "--bars", "blink", "--out", tmp_path / "bars.pdf")
    assert (one.returncode, other.returncode) == (0, 0), one.stderr + other.stderr
    assert (tmp_path / "bars.pdf").read_bytes()[:4] == b"%PDF"
