"""How many episodes it takes to tell 64 % from 74 %, to show that a rate is above a bound, or to know it well.

Two policies can be run each on seeds of its own, or both on the same seeds; then only seeds on which one succeeds and the other fails
say anything, and the fewer of those the rates leave room for, the fewer seeds are needed. A sequential test may stop at every seed:
it is given with the seeds by which it has stopped, half of the time and with the power that is asked for.
Powers are exact; the sequential test's figures are simulated.

examples:
  waldo plan rates=[0.64,0.74]
  waldo plan rates=[0.64,0.74] discordant=0.25 power=0.9     they differ on a quarter of the seeds
  waldo plan a=outputs/eval_flow b=outputs/eval_bc           rates and differing seeds from two evaluations
  waldo plan rates=[0.9,0.9] margin=0.15 alpha=0.001         until a gate says that the first is not worse by 15 points
  waldo plan rates=[0.9] above=0.8
  waldo plan width=0.05                                      until the interval is +-5 points, whatever the rate
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from data.errors import ConfigError
from data.evaluation import pair, read
from data.results import Figure
from data.statistics import planning
from data.statistics.paired import mcnemar_exact, paired_difference

CLOSEST = 0.005  # a sequential test between closer rates is not simulated: it takes hundreds of thousands of seeds
EXACT_UP_TO = 1000  # episodes; beyond, Fisher's test takes long to enumerate and differs from the score test by less than 2 %


@dataclass(frozen=True)
class Row:
    """One way to the verdict. `median`: seeds by which half of the sequential tests have stopped; NaN for other tests."""

    name: str
    test: str
    episodes: float
    policies: int = 1
    median: float = math.nan


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    rates = _rates(cfg)
    for name in ("power", "alpha"):
        if not 0 < cfg[name] < 1:
            raise ConfigError(f"{name}={cfg[name]}: wanted a chance between 0 and 1, such as {name}={0.8 if name == 'power' else 0.05}")
    try:
        if cfg.a or cfg.b:
            title, rows = _measured(cfg)
        elif len(rates) == 2 and not cfg.above and not cfg.width:
            shares = [float(cfg.discordant)] if cfg.discordant else _shares(rates, _numbers("correlation", cfg.correlation))
            title, rows = _two(cfg, rates[0], rates[1], shares)
        elif len(rates) == 1 and cfg.above:
            title, rows = _above(cfg, rates[0])
        elif len(rates) <= 1 and cfg.width:
            title, rows = _width(cfg, rates[0] if rates else 0.5)
        else:
            raise ConfigError("say what is to be found out: rates=[0.64,0.74], rates=[0.9] above=0.8, width=0.05, or a=FOLDER b=FOLDER")
    except ValueError as error:
        raise ConfigError(f"waldo plan: {error}") from error
    _show(title, rows, float(cfg.power))
    figures = [Figure(f"episodes/{row.name}", row.episodes) for row in rows]
    return figures + [Figure(f"median/{row.name}", row.median) for row in rows if not math.isnan(row.median)]


def _rates(cfg: DictConfig) -> list[float]:
    rates = _numbers("rates", cfg.rates)
    if not all(0 <= rate <= 1 for rate in rates):
        raise ConfigError(f"rates={rates}: wanted fractions between 0 and 1, such as rates=[0.64,0.74] for 64 % and 74 %")
    if len(rates) > 2:
        raise ConfigError(f"rates={rates}: wanted one or two; of more policies, plan for the two that are closest")
    return rates


def _numbers(name: str, values: Iterable[object]) -> list[float]:
    found = list(values)
    if not all(isinstance(value, int | float) for value in found):
        raise ConfigError(f"{name}={found}: wanted numbers, such as {name}=[0.64,0.74]")
    return [float(str(value)) for value in found]


def _measured(cfg: DictConfig) -> tuple[str, list[Row]]:
    if not cfg.a or not cfg.b or cfg.rates:
        raise ConfigError("rates come from two evaluations, a=FOLDER b=FOLDER, or are given, rates=[0.64,0.74]")
    _, a, b = pair(read(Path(cfg.a)), read(Path(cfg.b)))
    n, p, q = len(a), float(a.mean()), float(b.mean())
    p_value, only_a, only_b = mcnemar_exact(a, b)
    apart = paired_difference(a, b)
    print(f"on {n} seeds they had in common, a succeeded on {a.sum()} and b on {b.sum()}; on {only_a} only a, on {only_b} only b")
    print(f"difference {apart.value:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}], exact McNemar p = {p_value:.2g}")
    print("what follows takes these rates for the true ones\n")
    if p == q and not cfg.margin:
        raise ConfigError(f"both succeeded on {a.sum()} of {n} seeds: there is no difference to plan for; give margin=0.1, or rates=[p,q]")
    return _two(cfg, p, q, [(only_a + only_b) / n])


def _shares(rates: list[float], correlations: list[float]) -> list[float]:
    """The discordances that these rates can have, without those that they cannot."""
    found: dict[float, float] = {}
    problem = ValueError("correlation=[]: wanted at least one number, or discordant=...")
    for correlation in correlations:
        try:
            share = planning.independent_discordance(rates[0], rates[1], correlation)
        except ValueError as error:
            problem = error
        else:
            found.setdefault(round(share, 9), share)
    if not found:
        raise problem
    return list(found.values())


def _two(cfg: DictConfig, p: float, q: float, shares: list[float]) -> tuple[str, list[Row]]:
    power, alpha, margin = float(cfg.power), float(cfg.alpha), float(cfg.margin)
    rows = []
    if margin:
        side = "not worse" if p > q - margin else "worse"
        title = f"to show that {p:.4g} is {side} than {q:.4g} by {margin:.4g}, alpha {alpha:g} in each direction"
    else:
        title = f"to tell {p:.4g} from {q:.4g}, alpha {alpha:g} (two-sided)"
        score = planning.unpaired(p, q, power, alpha)
        if score <= EXACT_UP_TO:
            rows.append(Row("separate/fisher", "separate seeds, Fisher's exact test", planning.unpaired(p, q, power, alpha, True), 2))
        rows.append(Row("separate/score", "separate seeds, score test", score, 2))
    for share in shares:
        where = f"{share:.1%} of the seeds differ"
        if not margin:
            rows.append(
                Row(f"mcnemar/{share:.4f}", f"same seeds, exact McNemar test, {where}", planning.paired(p, q, share, power, alpha), 2)
            )
        if abs(p - q + margin) < CLOSEST:
            continue
        stop = planning.sequential(p, q, share, margin, alpha if margin else alpha / 2, int(cfg.trials), int(cfg.seed))
        rows.append(Row(f"sequential/{share:.4f}", f"same seeds, sequential test, {where}", stop.quantile(power), 2, stop.quantile(0.5)))
    if not rows:
        raise ConfigError(f"{p:.4g} is within {CLOSEST:g} of {q - margin:.4g}: no number of episodes that can be run tells on which side")
    return title, rows


def _above(cfg: DictConfig, rate: float) -> tuple[str, list[Row]]:
    power, alpha, bound = float(cfg.power), float(cfg.alpha), float(cfg.above)
    stop = planning.sequential_above(rate, bound, alpha, int(cfg.trials), int(cfg.seed))
    rows = [
        Row("binomial", "exact binomial test", planning.above(rate, bound, power, alpha)),
        Row("sequential", "sequential test", stop.quantile(power), 1, stop.quantile(0.5)),
    ]
    return f"to show that {rate:.4g} is above {bound:.4g}, alpha {alpha:g} (one-sided)", rows


def _width(cfg: DictConfig, rate: float) -> tuple[str, list[Row]]:
    half, level = float(cfg.width), 1 - float(cfg.alpha)
    rows = [
        Row("wilson", "Wilson's interval", planning.width(half, rate, level)),
        Row("clopper_pearson", "exact interval (Clopper-Pearson)", planning.exact_width(half, rate, level)),
    ]
    return f"to know a rate of {rate:.4g} within +-{half:.4g}, intervals of {level:.4g}", rows


def _show(title: str, rows: list[Row], power: float) -> None:
    several, stops = any(row.policies > 1 for row in rows), any(not math.isnan(row.median) for row in rows)
    heads = ["episodes of each", "in all"] if several else ["episodes"]
    heads += ["half stop by"] if stops else []
    width = max(len(row.test) for row in rows)
    print(f"{title}, power {power:.4g}" if several or stops else title)
    print("  ".join([" " * width, *heads]))
    for row in rows:
        numbers = [row.episodes, row.episodes * row.policies] if several else [row.episodes]
        numbers += [row.median] if stops else []
        print("  ".join([f"{row.test:<{width}}", *(f"{_whole(x):>{len(head)}}" for x, head in zip(numbers, heads, strict=True))]))


def _whole(value: float) -> str:
    return "" if math.isnan(value) else "never" if np.isinf(value) else f"{int(value):,}"
