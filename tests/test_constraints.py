"""What the docs say to install: read as `make test-constraints` reads it, which has a resolver find versions for it."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("constraints", ROOT / "bench" / "constraints.py")
constraints = importlib.util.module_from_spec(spec)
spec.loader.exec_module(constraints)

PAGE = """
    pip install -e '.[train,eval]' -c constraints.txt
    pip install --constraint constraints-verl.txt 'verl[vllm]==0.9.1' -e . # Python 3.11 or 3.12, on Linux

with vLLM (`pip install 'spatial-ssrl[vllm]'`; see there) or DeepSpeed (`pip install deepspeed`).
"""


def test_install_lines_are_read_in_blocks_and_in_prose():
    found = list(constraints.read_installs(PAGE, "page.md"))
    assert [install.requirements for install in found] == [
        [".[train,eval]"],
        ["verl[vllm]==0.9.1", "."],
        ["spatial-ssrl[vllm]"],
        ["deepspeed"],
    ]
    assert [install.constraints for install in found] == [["constraints.txt"], ["constraints-verl.txt"], [], []]
    assert [install.where for install in found] == ["page.md:2", "page.md:3", "page.md:5", "page.md:5"]
    assert [len(install.pythons) for install in found] == [3, 2, 3, 3]
    assert [install.ours for install in found] == [True, True, True, False]


@pytest.mark.parametrize("install", constraints.installs(), ids=lambda install: " ".join(install.words))
def test_what_the_docs_install_exists(install):
    named = [re.fullmatch(r"(?:\.|spatial-ssrl)(?:\[(.*)\])?", word) for word in install.requirements]
    extras = {extra for match in named if match and match[1] for extra in match[1].split(",")}
    assert extras <= set(constraints.extras()), install.where
    for name in install.constraints:
        assert (ROOT / name).is_file(), install.where
    if "vllm" in extras:
        assert install.constraints == ["constraints-vllm.txt"], f"{install.where}: vLLM does not go with constraints.txt"


@pytest.mark.parametrize("file", sorted(ROOT.glob("constraints*.txt")), ids=lambda file: file.name)
def test_constraints_are_exact(file):
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+", line) for line in lines)
    names = [re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines]
    assert len(names) == len(set(names))


def test_every_extra_is_resolved():
    resolved = {word for install in constraints.installs() for word in install.requirements}
    assert {f".[{extra}]" for extra in constraints.extras()} <= resolved
