"""One contact sheet of every task and every robot, in both engines.

Each picture is taken in the middle of an episode of the scripted expert; a robot is shown reaching.

examples:
  waldo gallery
  waldo gallery tasks=[stack,push] engines=[pybullet] width=640
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from data.errors import ConfigError, did_you_mean
from data.results import Figure
from sim.portrait import portrait, reaching
from waldo.manual import CONFIGS
from waldo.tiles import Tile, sheet

OURS = "sim.env.ArmVecEnv"
TITLES = {"mujoco": "MuJoCo", "pybullet": "PyBullet"}


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    tasks = _chosen("tasks", list(cfg.tasks), [name for name in _names("env") if _node("env", name).get("_target_") == OURS])
    robots = _chosen("robots", list(cfg.robots), _names("robot"))
    size = (round(cfg.width * 0.75), cfg.width)
    wanted = [("Tasks", name, engine) for name in tasks for engine in cfg.engines]
    wanted += [("Robots", name, engine) for name in robots for engine in cfg.engines]
    tiles, failed = [], []
    for part, name, engine in tqdm(wanted, desc="gallery", unit="picture"):
        node, view = _node("env", name if part == "Tasks" else "reach"), None
        if part == "Robots":
            options, view = reaching(name)
            node |= {"robot": name, "task": {**node["task"], **options}}
        picture, success = portrait(node, engine, cfg.seed, cfg.moment, size, view)
        tiles.append(Tile(part, name.replace("_", " "), TITLES.get(engine, engine), picture))
        if not success:
            failed.append(f"{name} on {engine}")
    sheet(tiles, len(cfg.engines), out / "gallery.png")
    print(f"next: look at {out}/gallery.png" + (f"; the expert failed in every try at: {', '.join(failed)}" if failed else ""))
    return [Figure("pictures", float(len(tiles))), Figure("experts that succeeded", 1 - len(failed) / len(tiles), "", len(tiles))]


def _names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def _node(group: str, name: str) -> dict[str, Any]:
    node = OmegaConf.to_container(OmegaConf.load(CONFIGS / group / f"{name}.yaml"))
    assert isinstance(node, dict)
    return {str(key): value for key, value in node.items()}


def _chosen(what: str, named: list[str], known: list[str]) -> list[str]:
    for name in named:
        if name not in known:
            raise ConfigError(f"{what}: there is no {name!r}; {did_you_mean(name, known)}")
    return named or known
