"""Measure what more demonstrations are worth: success against their number, with a fitted power law.

Records demonstrations of each task once. Trains a policy on the first 10 of them, on the first 20, and so on, all with the
same number of gradient steps, and measures each on the same held-out seeds. Then fits failure = a * n^-b and says what the
law promises for more. One command; started again it goes on where it stopped, and what was finished is not done again.

With x=objects or x=environments the number of demonstrations stays the same, and what is counted is how many different values
of one option of the environment they were recorded with: `vary` names the option, `values` its values.

examples:
  waldo scale tasks=[pick_place,stack] sizes=[10,20,50,100,200]
  waldo scale tasks=[pick_place] policy=flow_mlp train.steps=1500 seeds=[0,1,2] out=outputs/scale_mlp
  waldo scale tasks=[pick_place] x=objects sizes=[1,2,4] values=[0.018,0.025,0.021,0.023] unseen=0.0195 out=outputs/scale_objects
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from data.config import locate
from data.errors import ConfigError, DatasetError
from data.results import Figure
from data.statistics import success_rate
from data.statistics.scaling import Fit, power_law
from waldo import manual, provenance
from waldo.compose import composed
from waldo.steps import Step, Steps

COUNTED = ("demonstrations", "objects", "environments")
SPARE = 8  # one more is recorded for so many that are wanted: some demonstrations fail, and those are not imitated
MOST = 4  # recorded for each that is wanted, before the expert is given up
FEWEST = 3  # sizes that a law can be fitted to


@dataclass(frozen=True)
class Cell:
    """One policy: trained on `size` of what is counted, with one training seed."""

    task: str
    size: int
    seed: int

    @property
    def folder(self) -> str:
        return f"{self.task}/n_{self.size:03d}/seed_{self.seed}"


@dataclass(frozen=True)
class Curve:
    """Success against size on one task.

    points   (size, successes, episodes) of every policy, by size
    fit      None for too few sizes, or where no episode failed
    """

    task: str
    points: tuple[tuple[int, int, int], ...]
    fit: Fit | None

    @property
    def sizes(self) -> list[int]:
        return sorted({size for size, _, _ in self.points})

    def counts(self, size: int) -> tuple[int, int]:
        """(successes, episodes) of all trainings at a size."""
        return sum(wins for at, wins, _ in self.points if at == size), sum(n for at, _, n in self.points if at == size)


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    from waldo.reports.scale import write_report

    sizes, seeds, tasks = _checked(cfg)
    if not (cfg.policy.get("_target_") and hasattr(locate(cfg.policy._target_), "loss")):
        raise ConfigError(f"policy={cfg.policy.get('_target_') or 'none'} cannot be trained; `waldo train --help` lists those that can")
    cells = [Cell(task, size, seed) for size in sizes for seed in seeds for task in tasks]
    train, evaluate = _train_words(cfg), _evaluate_words(cfg)
    composed("train", train)  # a mistake is told now, not after an hour
    for task in tasks:
        composed("evaluate", [f"env={task}", *evaluate])
        for world in _worlds(cfg, task, sizes):
            composed("collect", world)
    steps = Steps(out, lanes=cfg.lanes)
    try:
        recorded = {task: _record(steps, cfg, task, sizes) for task in tasks}
        for cell in cells:
            steps.beside(_chain(cfg, out, cell, recorded[cell.task], train, evaluate), " ".join(_world(cfg, cell.task)))
        _wait(steps, 2 * len(cells))
    except BaseException:
        steps.stop()
        raise
    curves = [_curve(steps, task, sizes, seeds) for task in tasks]
    figures = [figure for curve in curves for figure in _figures(curve, cfg.aim)]
    page = write_report(out, cfg, curves, figures, provenance.collect(seed=cfg.seed), steps.seconds)
    print()
    for figure in figures:
        print(f"  {figure}")
    print(f"\nreport: {page}")
    return figures


def _checked(cfg: DictConfig) -> tuple[list[int], list[int], list[str]]:
    """(sizes, training seeds, tasks). Raises ConfigError."""
    if cfg.x not in COUNTED:
        raise ConfigError(f"x={cfg.x}; allowed: {', '.join(COUNTED)}")
    for name in ("tasks", "sizes", "seeds"):
        if not cfg[name] or len(set(cfg[name])) < len(cfg[name]):
            raise ConfigError(f"{name}={list(cfg[name])}: at least one is wanted, and none twice")
    for name, least in (("sizes", 1), ("seeds", 0)):
        if wrong := [value for value in cfg[name] if type(value) is not int or value < least]:
            raise ConfigError(f"{name}: {wrong[0]!r} is not a whole number from {least} up")
    for name in ("episodes", "lanes", "demonstrations"):
        if cfg[name] < 1:
            raise ConfigError(f"{name}={cfg[name]}; it has to be positive")
    if not 0 < cfg.aim < 1:
        raise ConfigError(f"aim={cfg.aim}; wanted is a success rate between 0 and 1")
    sizes = sorted(cfg.sizes)
    if cfg.x != "demonstrations" and sizes[-1] > len(cfg["values"]):
        raise ConfigError(f"x={cfg.x} counts values of {cfg.vary}: sizes up to {sizes[-1]} need as many values, found {len(cfg['values'])}")
    if cfg.x != "demonstrations" and cfg.demonstrations < sizes[-1]:
        raise ConfigError(f"demonstrations={cfg.demonstrations} cannot be spread over {sizes[-1]} {cfg.x}")
    return sizes, list(cfg.seeds), list(cfg.tasks)


def _world(cfg: DictConfig, task: str) -> list[str]:
    words = [f"env={task}"]
    words += [f"env.engine={cfg.env.engine}"] if cfg.env.engine != "mujoco" else []
    words += [f"env.task.level={cfg.env.task.level}"] if cfg.env.task.level != "medium" else []
    return words


def _worlds(cfg: DictConfig, task: str, sizes: Sequence[int]) -> list[list[str]]:
    """The words of `waldo collect` for each dataset."""
    world = _world(cfg, task)
    return [world] if cfg.x == "demonstrations" else [[*world, f"{cfg.vary}={value}"] for value in cfg["values"][: sizes[-1]]]


def _train_words(cfg: DictConfig) -> list[str]:
    own = [f"{name}={cfg[name]}" for name in ("n_obs_steps", "horizon", "n_action_steps")]
    return [*_policy_words(cfg.policy), *own, *(f"train.{name}={value}" for name, value in cfg.train.items()), "data.only_success=true"]


def _policy_words(policy: DictConfig) -> list[str]:
    """The shortest words that choose this policy: a file of configs/policy, and what differs from it. Raises ConfigError."""
    wanted = {str(key): value for key, value in policy.items()}
    ways = []
    for name, path in manual.choices("policy").items():
        file = OmegaConf.load(path)
        there = {str(key): value for key, value in file.items()} if isinstance(file, DictConfig) else {}
        if there.get("_target_") == wanted.get("_target_") and set(there) <= set(wanted):
            ways.append([f"policy={name}", *(f"policy.{key}={value}" for key, value in wanted.items() if there.get(key) != value)])
    if not ways:
        raise ConfigError(f"{wanted.get('_target_')} is not one of configs/policy")
    return min(ways, key=len)


def _evaluate_words(cfg: DictConfig) -> list[str]:
    unseen = [] if cfg.x == "demonstrations" or cfg.unseen is None else [f"{cfg.vary}={cfg.unseen}"]
    return [*_world(cfg, "")[1:], *unseen, f"episodes={cfg.episodes}", f"seed={cfg.seed}", "videos=0"]


def _record(steps: Steps, cfg: DictConfig, task: str, sizes: Sequence[int]) -> list[Path]:
    """The datasets, in the order in which they are counted. Each is made once, and made longer when more is asked for."""
    worlds = _worlds(cfg, task, sizes)
    if cfg.x == "demonstrations":
        return [_dataset(steps, task, worlds[0], cfg.x, sizes[-1])]
    most = [cfg.demonstrations // min(size for size in sizes if size > i) for i in range(len(worlds))]
    return [_dataset(steps, task, world, f"{cfg.x}_{i}", wanted) for i, (world, wanted) in enumerate(zip(worlds, most, strict=True), 1)]


def _dataset(steps: Steps, task: str, world: Sequence[str], name: str, wanted: int) -> Path:
    """A dataset with `wanted` demonstrations that succeed. Raises DatasetError if the expert fails too often."""
    folder, count = steps.out / task / f"{name}_dataset", _with_spares(wanted)
    while True:
        made = steps.run(f"{task}/{name}", "collect", *world, f"episodes={count}", "images=false", f"dataset={folder}")
        found = int(made["collect/success"].value)
        if found >= wanted:
            return folder
        if count >= MOST * wanted or not found:
            raise DatasetError(f"{task}: {wanted} demonstrations that succeed are wanted, and of {count} only {found} did; ask for less")
        count = min(_with_spares(math.ceil(count * wanted / found)), MOST * wanted)


def _with_spares(wanted: int) -> int:
    return wanted + math.ceil(wanted / SPARE)


def _chain(
    cfg: DictConfig, out: Path, cell: Cell, recorded: Sequence[Path], train: Sequence[str], evaluate: Sequence[str]
) -> tuple[Step, Step]:
    if cfg.x == "demonstrations":
        data = [f"data.path={recorded[0]}", f"data.max_episodes={cell.size}"]
    else:
        data = [f"data.path={recorded[0]}", f"data.max_episodes={cfg.demonstrations // cell.size}"]
        others = ",".join(f"{{path: {path}}}" for path in recorded[1 : cell.size])
        data += [f"data.also=[{others}]"] if others else []
    checkpoint = f"checkpoint={out / cell.folder / 'train' / 'checkpoint'}"
    return (
        (f"{cell.folder}/train", "train", *data, *train, f"seed={cell.seed}"),
        (f"{cell.folder}/evaluate", "evaluate", checkpoint, f"env={cell.task}", *evaluate),
    )


def _wait(steps: Steps, total: int) -> None:
    """Show how many steps are done, and what runs, until nothing does."""
    before = len(steps.done)
    with tqdm(total=total, desc="scale", unit="step", mininterval=1.0, miniters=0, smoothing=0) as bar:

        def show() -> None:
            running = ", ".join(f"{name} {share}" for name, words in steps.running().items() if (share := _share(words)))
            bar.set_postfix_str(running, refresh=False)
            bar.update(len(steps.done) - before - bar.n)

        steps.join(show)


def _share(words: str) -> str:
    """`43%` of a progress bar."""
    left = words.partition("%|")[0]
    return f"{left.rpartition(':')[2].strip()}%" if left != words else ""


def _curve(steps: Steps, task: str, sizes: Sequence[int], seeds: Sequence[int]) -> Curve:
    points = []
    for size in sizes:
        for seed in seeds:
            success = steps.figures(f"{Cell(task, size, seed).folder}/evaluate")["success"]
            n = success.n or 0
            points.append((size, round(success.value * n), n))
    failed = any(wins < n for _, wins, n in points)
    x, successes, trials = zip(*points, strict=True)
    fit = power_law(x, successes, trials) if failed and len(sizes) >= FEWEST else None
    return Curve(task, tuple(points), fit)


def _figures(curve: Curve, aim: float) -> list[Figure]:
    """Success at every size; the exponent, the success that the law promises for twice as many, and how many it wants for `aim`."""
    figures = []
    for size in curve.sizes:
        figures.append(success_rate(f"success/{curve.task}/{size}", *curve.counts(size)))
    if curve.fit is None:
        return figures
    double, episodes = 2 * curve.sizes[-1], sum(n for _, _, n in curve.points)
    success, low, high = curve.fit.predict(double)
    needed, fewest, most = curve.fit.needed(aim)
    return [
        *figures,
        Figure(f"exponent/{curve.task}", curve.fit.b, "", episodes, *curve.fit.b_interval),
        Figure(f"promised/{curve.task}/{double}", success, "", None, low, high),
        Figure(f"needed/{curve.task}/{aim:g}", needed, "", None, fewest, most),
    ]
