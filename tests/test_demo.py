"""The demo's steps: one after the other, some beside each other, finished ones kept; and a whole demo, as small as it goes."""

import subprocess
import sys

import pytest

from data.errors import WaldoError
from data.results import read_summary
from waldo.demo import Steps


def test_what_fails_beside_ends_the_demo_with_its_last_line_and_nothing_after_it_is_begun(tmp_path, capsys):
    steps = Steps(tmp_path, "")
    steps.beside([("first", "evaluate", f"checkpoint={tmp_path}/nowhere"), ("second", "evaluate")])
    with pytest.raises(WaldoError, match=r"`waldo evaluate .*first` ended with status 2: error: .*nowhere"):
        steps.join()
    assert "second" not in capsys.readouterr().out and not (tmp_path / "second").exists()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["mujoco", "pybullet"])
def test_a_small_demo_and_a_second_one(tmp_path, engine):
    sizes = f"env.engine={engine} demonstrations=8 flow_steps=8 bc_steps=8 critic_steps=8 image_steps=0 few=2 episodes=2 selection=1 run_episodes=1 videos=0"

    def demo():
        command = [sys.executable, "-m", "waldo", "demo", *sizes.split(), f"out={tmp_path}/demo"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert "(finished before)" not in demo()
    report = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "http://" not in report.replace("http://www.w3.org", "")
    names = {figure.name for figure in read_summary(tmp_path / "demo")[2]}
    assert {"success/untrained", "success/bc", "success/flow", "success/steered", "success/arm", "success/few"} <= names
    again = demo()
    assert again.count("\n$ waldo ") == again.count("(finished before)") > 10
