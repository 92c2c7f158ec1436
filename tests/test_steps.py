"""Commands strung together: in order, side by side, finished ones kept, and whatever is killed is taken up again."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.errors import WaldoError
from waldo import steps as module
from waldo.steps import Steps

TOY = (sys.executable, str(Path(__file__).with_name("toy_steps.py")))
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setattr(module, "WALDO", TOY)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def times(folder):
    return len((folder / "ran.txt").read_text().splitlines())


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def walk(out, *chains, **options):
    steps = Steps(out, **options)
    for chain in chains:
        steps.beside(chain)
    steps.join()
    return steps


def test_what_is_finished_is_not_done_again(tmp_path, capsys):
    chain = [("a", "toy", "x=1"), ("b", "toy")]
    assert walk(tmp_path, chain).done == {"a", "b"}
    assert walk(tmp_path, chain).figures("b")["steps"].value == 1
    assert times(tmp_path / "a") == times(tmp_path / "b") == 1
    assert capsys.readouterr().out.count("(finished before)") == 2


def test_other_words_make_a_step_and_those_after_it_anew_but_not_those_before_it(tmp_path):
    def chain(word):
        return [("a", "toy"), ("b", "toy", word), ("c", "toy")]

    walk(tmp_path, chain("x=1"))
    (tmp_path / "b" / "left.txt").write_text("of the old one")
    (tmp_path / "a" / "log.txt").write_text("as it was")
    walk(tmp_path, chain("x=2"))
    assert not (tmp_path / "b" / "left.txt").exists()
    assert (tmp_path / "a" / "log.txt").read_text() == "as it was"
    assert [times(tmp_path / name) for name in "abc"] == [1, 1, 1]  # the folders of b and c were emptied in between
    assert "x=2" in (tmp_path / "c" / "command.txt").read_text()


def test_two_lanes_run_two_chains_at_once(tmp_path):
    """Each waits for what only the other makes."""
    walk(tmp_path, [("a", "toy", f"wait={tmp_path}/b/ran.txt")], [("b", "toy", f"wait={tmp_path}/a/ran.txt")], lanes=2)


def test_one_lane_runs_one_chain_after_the_other(tmp_path):
    steps = Steps(tmp_path)
    steps.beside([("a", "toy", f"wait={tmp_path}/go")])
    steps.beside([("b", "toy")])
    until(lambda: steps.running().get("a", "").startswith("toy:  43%|"))
    assert not (tmp_path / "b").exists()
    (tmp_path / "go").touch()
    steps.join()
    assert steps.done == set(steps.seconds) == {"a", "b"}


def test_a_step_that_fails_ends_all_and_its_last_line_is_told(tmp_path):
    with pytest.raises(WaldoError, match=r"`waldo toy 'fail=no data' .*` ended with status 2: error: no data"):
        walk(tmp_path, [("a", "toy", "fail=no data"), ("b", "toy")])
    assert not (tmp_path / "b").exists()


def test_stop_ends_what_runs_and_what_was_finished_is_kept(tmp_path):
    steps = Steps(tmp_path)
    steps.beside([("a", "toy"), ("b", "toy", f"wait={tmp_path}/go"), ("c", "toy")])
    until(lambda: "b" in steps.running())
    began = time.monotonic()
    steps.stop()
    assert time.monotonic() - began < 5 and steps.done == {"a"}
    (tmp_path / "go").touch()
    walk(tmp_path, [("a", "toy"), ("b", "toy", f"wait={tmp_path}/go"), ("c", "toy")])
    assert times(tmp_path / "a") == times(tmp_path / "c") == 1


def test_a_step_whose_parent_was_killed_goes_on_and_the_next_start_waits_for_it(tmp_path):
    chain = [("a", "toy", f"wait={tmp_path}/go")]
    code = f"""
from pathlib import Path
from waldo import steps
steps.WALDO = {TOY!r}
s = steps.Steps(Path({str(tmp_path)!r}))
s.beside({chain!r})
s.join()
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    until(lambda: (tmp_path / "a" / "ran.txt").exists())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    steps = Steps(tmp_path)
    steps.beside(chain)
    time.sleep(0.2)
    assert not steps.done
    (tmp_path / "go").touch()
    steps.join()
    assert steps.done == {"a"} and times(tmp_path / "a") == 1
