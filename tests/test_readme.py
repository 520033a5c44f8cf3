"""What the documents say can be done: commands exist with those options, snippets run, links lead somewhere."""

import re
import shlex
import tomllib

import pytest
from typer.testing import CliRunner

from conftest import ROOT
from spatial_ssrl.build.recipe import Recipe
from spatial_ssrl.cli import app

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {path: path.read_text() for path in DOCUMENTS}


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXTS[path], re.DOTALL | re.MULTILINE)


COMMANDS = [line.strip() for text in TEXTS.values() for line in re.findall(r"^ {4}(spatial-ssrl .*)$", text, re.MULTILINE)]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist_with_these_options(command):
    words = shlex.split(command.replace("[", "").replace("]", "").replace("...", ""))[1:]
    verbs = words[:2] if words[0] == "train" else words[:1]
    shown = CliRunner().invoke(app, [*verbs, "--help"], env={"COLUMNS": "200"}, catch_exceptions=False)
    assert shown.exit_code == 0
    options = [word for word in words if word.startswith("--")]
    assert all(option in shown.output for option in options)


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^ {4}make ([a-z]+)", "\n".join(TEXTS.values()), re.MULTILINE)) <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", TEXTS[path]):
        assert (path.parent / target).exists(), target


def test_the_scores_in_the_readme_are_true():
    snippet = next(b for b in blocks(ROOT / "README.md", "python") if "score(" in b)
    names = {}
    for line in snippet.splitlines():
        code, _, comment = line.partition("  # ")
        if code.startswith("score("):
            assert eval(code, names) == pytest.approx(float(comment.split(":")[0]))
        else:
            exec(code, names)


def test_the_recipe_of_the_guide_is_valid():
    text = next(b for b in blocks(ROOT / "docs/build.md", "toml"))
    assert Recipe.model_validate(tomllib.loads(text)).n == 2000


def test_the_tree_of_the_readme_is_the_tree():
    tree = TEXTS[ROOT / "README.md"].split("src/spatial_ssrl/\n")[1].split("\n\n")[0]
    for name in re.findall(r"^ {6}(\S+)", tree, re.MULTILINE):
        assert (ROOT / "src/spatial_ssrl" / name).exists(), name
    for name in re.findall(r"^ {4}(\S+)", tree, re.MULTILINE):
        assert (ROOT / name).exists(), name
