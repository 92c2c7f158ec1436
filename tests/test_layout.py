"""The house keeps its shape: packages come from here, the wheel is complete, arrows point down, control stays light."""

import ast
import importlib
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("waldo", "configs", "data", "policies", "real", "sim")
# Who may import what. A prefix allows everything below it.
ARROWS = {
    "configs": (),
    "data": ("data",),
    "policies": ("policies", "data"),
    "real": ("real", "data", "policies.artifact"),
    # policies.base: the Sampler protocol is what a rollout drives.
    "sim": ("sim", "data", "policies.base", "real.base", "real.robots", "real.kinematics"),
    # A virtual arm runs in its own process and speaks the driver's wire, on the same clock and links.
    "sim.virtual": ("sim", "data", "real"),
}
LONGEST = 380  # lines of a file; the aim is 350
# The only modules of `real` that may load a network: they run in the policy's own process.
POLICY_PROCESS = ("real.policy_process",)


def modules(package: str) -> list[str]:
    """Every module of a package, by dotted name."""
    names = []
    for path in sorted(ROOT.joinpath(*package.split(".")).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def below(name: str, prefixes: Iterable[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@cache
def imports(module: str) -> frozenset[str]:
    """Our own modules that the file imports anywhere in it; `from a import b` counts as a.b where that is a module."""
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where an arrow points"
            for alias in node.names:
                below = ROOT.joinpath(*str(node.module).split("."), alias.name)
                is_module = below.with_suffix(".py").is_file() or (below / "__init__.py").is_file()
                found.add(f"{node.module}.{alias.name}" if is_module else str(node.module))
    return frozenset(name for name in found if name.split(".")[0] in PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_comes_from_this_repository(package):
    assert Path(str(importlib.import_module(package).__file__)).parent == ROOT / package


@pytest.mark.parametrize("package", sorted(ARROWS))
def test_arrows_point_down(package):
    narrower = [inner for inner in ARROWS if inner.startswith(package + ".")]
    wrong = [
        f"{module} imports {name}"
        for module in modules(package)
        for name in sorted(imports(module))
        if not below(module, narrower) and not below(name, ARROWS[package])
    ]
    assert wrong == [], f"{package} may import only: {', '.join(ARROWS[package]) or 'nothing of ours'}"


def loaded_by(names: list[str]) -> set[str]:
    """The top-level packages that are in memory after importing these modules, in a fresh process."""
    code = f"import importlib, sys; [importlib.import_module(name) for name in {names!r}]; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_data_and_the_artefact_need_no_torch_and_no_simulator():
    names = [*modules("data"), *(["policies.artifact"] if (ROOT / "policies/artifact.py").exists() else [])]
    assert loaded_by(names) & {"torch", "mujoco", "pybullet", "gymnasium"} == set()


def test_the_control_process_loads_no_network_library():
    names = [name for name in modules("real") if name not in POLICY_PROCESS]
    assert loaded_by(names) & {"torch", "onnxruntime", "cv2", "gymnasium"} == set()


def test_no_file_is_a_grab_bag_and_none_has_grown_long():
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert [path.name for path in files if path.stem in ("utils", "helpers", "misc", "common")] == []
    assert {str(path.relative_to(ROOT)): n for path in files if (n := len(path.read_text().splitlines())) > LONGEST} == {}


def test_yaml_files_are_short_and_hold_no_expressions():
    for path in (ROOT / "configs").rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 40, path
        assert "${" not in text, f"{path}: a default that is computed belongs into the dataclass"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("waldo-*.whl"))


def test_the_wheel_holds_every_file(wheel):
    if not (ROOT / ".git").exists():
        pytest.skip("git says which files belong to the packages, and this is not a checkout")
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    expected = {name for name in tracked if name and (ROOT / name).exists()}
    assert expected - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_the_wheel_alone_answers_help(wheel, tmp_path):
    """No dependency is installed: help must not need one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "-q", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    for words in (["--help"], ["--version"], ["bench", "--help"]):
        done = subprocess.run([str(python.parent / "waldo"), *words], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        assert "waldo" in done.stdout
