"""What the documentation shows runs, and what it names exists."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from waldo import manual
from waldo.compose import composed

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLES = sorted(DOCS.glob("[0-9]*.py"))
PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_says_something(example, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WALDO_")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MUJOCO_GL": "disable"}
    done = subprocess.run([sys.executable, str(example)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    assert len(done.stdout.splitlines()) >= 1


def test_examples_are_numbered_short_and_listed():
    assert [int(path.name[:2]) for path in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))
    index = (DOCS / "index.md").read_text()
    for path in EXAMPLES:
        assert len(path.read_text().splitlines()) <= 65, path.name
        assert f"({path.name})" in index, f"{path.name} is not in docs/index.md"
    for path in DOCS.glob("*.md"):
        assert path.name == "index.md" or f"({path.name})" in index, f"{path.name} is not in docs/index.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def commands(page):
    """Every `waldo ...` line of the page, as its words."""
    for line in page.read_text().splitlines():
        line = line.strip().removeprefix("$ ")
        if line.startswith("waldo ") and "COMMAND" not in line and "ACTION" not in line and "--help" not in line:
            yield shlex.split(line, comments=True)[1:]
    for words in re.findall(r"`waldo ([a-z]+ [^`]*=[^`]*|data [^`]*)`", page.read_text()):
        if not any(word in words for word in ("...", "COMMAND", "ACTION", "--help")):
            yield shlex.split(words)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda path: path.name)
def test_every_command_that_is_shown_has_these_options(page):
    for words in commands(page):
        command, rest = manual.find(words)  # raises if there is no such command or action
        if command in manual.FAMILIES.values() or "-m" in rest:
            continue  # `waldo data` alone, and sweeps: tests/test_two_words.py, tests/test_cli.py
        composed(command, [word for word in rest if not word.startswith("out=")])
