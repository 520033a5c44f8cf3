"""The page of replies and the figures, from real run folders."""

from html.parser import HTMLParser

import pytest

from conftest import run_cli
from spatial_ssrl.errors import DatasetError
from spatial_ssrl.evaluate.figures import write_bars, write_radar
from spatial_ssrl.evaluate.page import write_page
from spatial_ssrl.evaluate.tables import read_runs


class Page(HTMLParser):
    """Articles with their classes, and the links and tags of a page."""

    def __init__(self, path):
        super().__init__()
        self.articles, self.sources, self.tags = [], [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        attributes = dict(attrs)
        if tag == "article":
            self.articles.append(attributes["class"].split())
        if "src" in attributes:
            self.sources.append(attributes["src"])


def folders(runs):
    return [runs / name / "blink" / "reasoning" for name in ("base", "tuned")]


def test_disagreements_come_first_and_can_be_filtered(runs, tmp_path):
    path = write_page(folders(runs), tmp_path / "deep" / "page.html", 200)
    page = Page(path)
    assert [kind[0] for kind in page.articles] == ["is-disagree"] * 10 + ["is-right"] * 20 + ["is-wrong"] * 10
    assert len(page.sources) == 40
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert not page.tags & {"script", "link", "iframe"}
    text = path.read_text()
    assert "the runs disagree (10)" in text
    assert "http" not in text
    assert "50.00%" in text
    assert "75.00%" in text


def test_a_page_of_one_run_is_cut_at_the_limit(runs, tmp_path):
    page = Page(write_page(folders(runs)[:1], tmp_path / "page.html", 7))
    assert [kind[0] for kind in page.articles] == ["is-right", "is-wrong"] * 3 + ["is-right"]


def test_hostile_replies_are_text(runs, tmp_path):
    run = folders(runs)[0]
    verdicts = (run / "verdicts.jsonl").read_text().replace("boxed{A}", "<script>alert(1)</script>", 1)
    (run / "verdicts.jsonl").write_text(verdicts)
    assert "script" not in Page(write_page([run], tmp_path / "page.html", 5)).tags


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


def test_commands(runs, tmp_path):
    one = run_cli("page", *folders(runs), "--out", tmp_path / "page.html")
    other = run_cli("figure", runs / "base", "--bars", "blink", "--out", tmp_path / "bars.pdf")
    assert (one.returncode, other.returncode) == (0, 0), one.stderr + other.stderr
    assert (tmp_path / "bars.pdf").read_bytes()[:4] == b"%PDF"
