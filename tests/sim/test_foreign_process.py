"""The processes that hold environments: what they need, what they leave, and what is said when they cannot start."""

import ast
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data.errors import ConfigError
from sim.foreign.process import surroundings
from tests.sim.open_toy import BLIND, open_toy

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def toy():
    made = []

    def make(*args, **options):
        made.append(open_toy(*args, **options))
        return made[-1]

    yield make
    for env in made:
        env.close()


def held_files(pid):
    """How many files a process holds open, and how many of our mappings."""
    folder = Path("/proc") / str(pid)
    return len(list((folder / "fd").iterdir())), (folder / "maps").read_text().count("memfd:arrays")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_nothing_is_left_over():
    gc.collect()
    before = held_files(os.getpid())
    env = open_toy(2, "exit", 2, [1], isolate=True, workers=2, **BLIND)
    pids = env._rows.pids
    assert held_files(pids[0])[1] == 1  # no name in any folder: it goes with the last process that has it
    env.reset(np.array([1, 2]))
    env.step(np.zeros((2, 2)))
    env.step(np.zeros((2, 2)))
    pids += env._rows.pids
    assert len(set(pids)) == 3
    os.kill(env._rows.pids[0], signal.SIGKILL)
    env.close()
    env.close()
    del env
    gc.collect()
    assert held_files(os.getpid()) == before
    assert not any((Path("/proc") / str(pid)).exists() for pid in pids)


def test_a_process_ends_with_its_parent_even_in_the_middle_of_a_step(tmp_path):
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
import numpy as np
from sim.foreign.process import surroundings
from tests.sim.open_toy import BLIND, open_toy
env = open_toy(2, "hang", 1, [1], isolate=True, workers=2, **BLIND)
env.reset(np.array([1, 2]))
print(*env._rows.pids, flush=True)
env.step(np.zeros((2, 2)))
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    time.sleep(0.2)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    give_up = time.monotonic() + 5
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < give_up, "a child outlived its parent"
        time.sleep(0.02)


def _runs(pid):
    """False for what has ended, also where nobody has asked for its status yet."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_computes_on_one_thread_with_our_choice_of_opengl(toy):
    about = toy(1, isolate=True, variables={"OMP_NUM_THREADS": "2"}, **BLIND).about
    assert about["threads"] == "2" and about["pid"] != os.getpid() and about["gl"] == os.environ["MUJOCO_GL"]
    assert toy(1, isolate=True, **BLIND).about["threads"] == "1"


def test_another_interpreter_finds_none_of_our_packages(monkeypatch):
    for name in ("PYTHONPATH", "PYTHONHOME"):
        monkeypatch.setenv(name, "/ours")
    assert {"PYTHONPATH", "PYTHONHOME"} & set(surroundings("/other/bin/python", {})) == set()
    assert surroundings("", {})["PYTHONPATH"].split(os.pathsep) == [place for place in sys.path if place]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An environment with nothing in it."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def test_an_interpreter_without_what_is_needed_says_how_to_mend_it(toy, bare, tmp_path):
    python = bare / "bin" / "python"
    with pytest.raises(
        ConfigError, match=rf"environment Toy-v0 \(in {python}\): it needs.*'numpy'.*not installed: {python} -m pip install numpy"
    ):
        toy(1, python=str(python))
    with pytest.raises(ConfigError, match=r"pip install -r sim/foreign/venvs/toy.txt"):
        toy(1, python=str(python), requirements="sim/foreign/venvs/toy.txt")
    site = next((bare / "lib").glob("python*")) / "site-packages"
    (site / "some.pth").write_text(str(Path(np.__file__).parents[1]))  # numpy and gymnasium, by a path of its own
    (site / "gymnasium.py").write_text("raise ModuleNotFoundError(\"No module named 'gymnasium'\", name='gymnasium')")
    with pytest.raises(ConfigError, match="needs the package 'gymnasium', which is not installed"):
        toy(1, python=str(python))
    (site / "gymnasium.py").unlink()
    env = toy(2, python=str(python), **BLIND)
    assert env.reset(np.array([3, 4]))["observation.state"].any() and env.step(np.zeros((2, 2)))[4]["error"] == {}
    with pytest.raises(ConfigError, match="'gym_of_nobody', which is not installed"):
        toy(1, python=str(python), package="gym_of_nobody")


def test_a_path_that_is_no_interpreter_is_one_clear_error(toy, bare, tmp_path):
    with pytest.raises(ConfigError, match="env.python=/no/such/python: there is no such file; wanted is"):
        toy(1, python="/no/such/python")
    with pytest.raises(ConfigError, match="is a folder; wanted is the Python in it: .*bin/python"):
        toy(1, python=str(bare))
    (tmp_path / "text").write_text("not a program")
    with pytest.raises(ConfigError, match="Permission denied; wanted is the Python of an environment"):
        toy(1, python=str(tmp_path / "text"))
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho in $1\necho SyntaxError: future feature annotations is not defined\nexit 1\n")
    old.chmod(0o755)
    with pytest.raises(ConfigError, match="old is too old; Python 3.8 or later is needed"):
        toy(1, python=str(old))
    with pytest.raises(ConfigError, match="while the environments were made, its process exited with status 0"):
        toy(1, python="/bin/true")


@pytest.mark.parametrize("isolate", [False, True])
def test_an_environment_that_cannot_be_made_is_named_with_the_reason(toy, isolate):
    with pytest.raises(ConfigError, match=r"environment Toy-v0: it cannot be made with \{.*'fault': 'make'.*RuntimeError: no such robot"):
        toy(1, "make", isolate=isolate)
    with pytest.raises(ConfigError, match="no environment is registered as 'Toi-v0'; of the .* the closest: Toy-v0, "):
        toy(1, isolate=isolate, id="Toi-v0")
    with pytest.raises(ConfigError, match="there is no 'pose'; there is: agent, mood, pixels, odd"):
        toy(1, isolate=isolate, observations={"observation.state": {"key": "pose", "names": ["x"], "units": "m"}})


@pytest.mark.slow
def test_a_child_that_is_never_ready_is_given_up(toy, tmp_path):
    (tmp_path / "sleepy.py").write_text("import time\nprint('good night', flush=True)\ndef register():\n    time.sleep(1000)\n")
    began = time.monotonic()
    with pytest.raises(ConfigError, match="were not made within start_timeout=5 s; the last that it printed:\ngood night"):
        toy(1, isolate=True, hook=str(tmp_path / "sleepy.py"), start_timeout=5)
    assert time.monotonic() - began < 20


def test_every_file_that_other_interpreters_read_is_python_3_8(toy):
    for name in ("child", "direct", "maker", "rows"):
        source = (ROOT / "sim/foreign" / f"{name}.py").read_text()
        tree = ast.parse(source, feature_version=(3, 8))
        assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body), name
