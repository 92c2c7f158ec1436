"""How many episodes it takes: to tell two success rates apart, to show that one is above a bound, to know one within +-w.

    unpaired(0.64, 0.74)                        episodes of each policy, on seeds of their own
    paired(0.64, 0.74, discordant=0.25)         seeds that both policies are run on
    sequential(0.64, 0.74, discordant=0.25)     the same, when the comparison may stop at every seed

Power is the chance of a verdict for the policy that is better; a verdict for the other one does not count. It is not monotone in the
number of episodes, because counts are whole: the answers are the numbers from which it stays where it was asked to be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from data.statistics.intervals import clopper_pearson, normal_quantile
from data.statistics.sequential import stakes

NEIGHBOURS = 12  # how far beyond the answer the saw's teeth are looked at
TAIL = 1e-9  # chance of the counts that enumeration leaves out
MOST = 10_000_000  # episodes
SIMULATED = 150_000_000  # episodes of all trials together, at the utmost; a twentieth of them is usual


@dataclass(frozen=True)
class Stopping:
    """When a sequential test stops, in seeds.

    times   (trials,) ascending; inf for a trial that reached no verdict within `limit` seeds, or the wrong one
    wrong   share of the trials that ended with the opposite verdict
    """

    times: np.ndarray
    wrong: float
    limit: int

    def quantile(self, share: float) -> float:
        """Seeds by which this share of the comparisons has its verdict; inf if it is not reached."""
        return float(self.times[min(len(self.times), max(1, math.ceil(share * len(self.times)))) - 1])


def independent_discordance(p: float, q: float, correlation: float = 0.0) -> float:
    """Share of seeds on which exactly one of two policies succeeds, whose results on a seed have this (phi) correlation.

    Raises ValueError for a correlation that two such rates cannot have.
    """
    _check_rates(p, q)
    share = p * (1 - q) + q * (1 - p) - 2 * correlation * math.sqrt(p * (1 - p) * q * (1 - q))
    least, most = _discordances(p, q)
    if not least - 1e-12 <= share <= most + 1e-12:
        spread = 2 * math.sqrt(p * (1 - p) * q * (1 - q)) or 1.0
        ends = [(p * (1 - q) + q * (1 - p) - s) / spread for s in (most, least)]
        raise ValueError(f"correlation is {correlation}; with rates {p} and {q} it lies between {ends[0]:.3f} and {ends[1]:.3f}")
    return min(max(share, least), most)


def unpaired(p: float, q: float, power: float = 0.8, alpha: float = 0.05, exact: bool = False) -> int:
    """Episodes of EACH policy, each on its own seeds, for the two-sided pooled score test of two proportions (Pearson's chi-squared test
    of the 2 x 2 table without continuity correction, which holds its level on average), or for Fisher's exact test (which never exceeds
    it, as the exact McNemar test does not). Raises ValueError for rates that are equal or no rates.
    """
    _check_apart(p, q, power, alpha)
    z = normal_quantile(1 - alpha) + float(stats.norm.ppf(power))
    start = z * z * (p * (1 - p) + q * (1 - q)) / (p - q) ** 2
    power_at = power_fisher if exact else power_unpaired
    return _smallest(lambda n: power_at(n, p, q, alpha), power, start)


def paired(p: float, q: float, discordant: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Seeds for the two-sided exact McNemar test, both policies on each.

    discordant   share of the seeds on which exactly one of them succeeds; data.statistics.paired counts them, and
                 `independent_discordance` is what policies have whose results on a seed have nothing to do with each other
    Raises ValueError for rates that are equal or no rates, and for a share that they cannot have.
    """
    _check_apart(p, q, power, alpha)
    _check_discordant(p, q, discordant)
    z = normal_quantile(1 - alpha) + float(stats.norm.ppf(power))
    return _smallest(lambda n: power_paired(n, p, q, discordant, alpha), power, z * z * discordant / (p - q) ** 2)


def above(rate: float, bound: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Episodes until the one-sided exact binomial test shows that a true rate is above `bound`: until the lower Clopper-Pearson limit at
    level 1 - 2 alpha passes it. Raises ValueError unless rate > bound.
    """
    _check_shares(power=power, alpha=alpha)
    if not 0 < bound < rate <= 1:
        raise ValueError(f"rate is {rate}, bound {bound}; wanted 0 < bound < rate <= 1: only what is true can be shown")
    z = float(stats.norm.isf(alpha) + stats.norm.ppf(power))
    start = z * z * max(bound * (1 - bound), rate * (1 - rate)) / (rate - bound) ** 2
    teeth = math.ceil(3 / min(bound, 1 - bound))  # one count more is significant every 1 / bound or 1 / (1 - bound) episodes
    return _smallest(lambda n: float(stats.binom.sf(_critical(n, bound, alpha) - 1, n, rate)), power, start, teeth)


def width(half: float, rate: float = 0.5, level: float = 0.95) -> int:
    """Episodes until Wilson's interval is +-half or narrower when the sample has this rate. One half is the worst case.

    Raises ValueError unless 0 < half < 0.5 and 0 <= rate <= 1.
    """
    _check_shares(level=level)
    if not 0 < half < 0.5 or not 0 <= rate <= 1:
        raise ValueError(f"half is {half}, rate {rate}; wanted a half width between 0 and 0.5 and a rate between 0 and 1")
    z2 = normal_quantile(level) ** 2
    # Solves z^2 (p(1-p)/n + z^2/4n^2) = half^2 (1 + z^2/n)^2 for n; the ends of [0, 1] cut nothing off, as the score interval stays inside.
    a, b, c = half**2, z2 * (2 * half**2 - rate * (1 - rate)), z2 * z2 * (half**2 - 0.25)
    return max(1, math.ceil((-b + math.sqrt(b * b - 4 * a * c)) / (2 * a) - 1e-9))


def exact_width(half: float, rate: float = 0.5, level: float = 0.95) -> int:
    """As `width`, for the exact interval of Clopper and Pearson, at the whole count nearest to the rate."""
    start = width(half, rate, level)
    fits = [n for n in range(start, 2 * start + 100) if _half(n, rate, level) <= half]
    return fits[0]


def sequential(
    p: float,
    q: float,
    discordant: float,
    margin: float = 0.0,
    alpha: float = 0.05,
    trials: int = 2000,
    seed: int = 0,
) -> Stopping:
    """Seeds until `sequential.non_inferiority` reaches the verdict that is true, by simulation: of p over q, or, with a margin, that p is
    not worse than q by `margin` (or that it is, if it is).

    alpha   chance of error in each of the two directions: half of what a two-sided test is given
    Raises ValueError if p is q - margin, where no verdict is true, for no rates, and for a share that they cannot have.
    """
    _check_rates(p, q)
    _check_shares(alpha=alpha)
    _check_discordant(p, q, discordant)
    if not 0 <= margin < 1:
        raise ValueError(f"margin is {margin}; wanted a difference of success rates, at least 0 and less than 1, such as 0.15")
    difference = p - q
    law = np.array([(discordant - difference) / 2, 1 - discordant, (discordant + difference) / 2])
    return stopping(np.array([-1.0, 0.0, 1.0]), law, -margin, -1.0, 1.0, alpha, trials, seed)


def sequential_above(rate: float, bound: float, alpha: float = 0.05, trials: int = 2000, seed: int = 0) -> Stopping:
    """Episodes until `sequential.evidence_above` shows that a true rate is above `bound`, by simulation. Raises as `above`."""
    _check_shares(alpha=alpha)
    if not 0 < bound < rate <= 1:
        raise ValueError(f"rate is {rate}, bound {bound}; wanted 0 < bound < rate <= 1: only what is true can be shown")
    return stopping(np.array([0.0, 1.0]), np.array([1 - rate, rate]), bound, 0.0, 1.0, alpha, trials, seed)


def stopping(values: np.ndarray, law: np.ndarray, mean: float, low: float, high: float, alpha: float, trials: int, seed: int) -> Stopping:
    """Simulated stopping of the two e-values against "at most mean" and "at least mean", at 1 / alpha each.

    values, law   (k,) what an episode may give, and with which chance
    trials        fewer are run where each takes long, at least 50
    Raises ValueError if the law's mean is `mean`, or so close to it that no trial would end, and if there is no trial.
    """
    gap = float(values @ law) - mean
    if abs(gap) < 1e-9:
        raise ValueError(f"the true mean is the {mean:g} in question: neither side is true, and no number of episodes will tell")
    if trials < 1:
        raise ValueError(f"{trials} trials; wanted at least one")
    variance = float(((values - mean) ** 2) @ law)
    limit = int(20 * math.log(2 / alpha) * (variance / gap**2 + (high - low) / abs(gap))) + 100
    if 50 * limit > SIMULATED:
        raise ValueError(f"the true mean is within {abs(gap):.2g} of the {mean:g} in question: too many episodes to simulate")
    trials = min(trials, SIMULATED // limit)
    stake = stakes()
    true = 1 + stake * ((values - mean) / (mean - low if gap > 0 else mean - high))[:, None]  # (k, bets): what is paid per capital
    false = 1 + stake * ((values - mean) / (mean - high if gap > 0 else mean - low))[:, None]
    rng = np.random.default_rng(seed)
    right, wrong = np.full(trials, math.inf), 0
    running = np.arange(trials)
    for_true, for_false = (np.full((trials, len(stake)), alpha / len(stake)) for _ in range(2))  # a verdict at a sum of 1
    edges = np.cumsum(law)[:-1]
    for n in range(1, limit + 1):
        drawn = np.searchsorted(edges, rng.random(len(running)), side="right")
        for_true *= true[drawn]
        for_false *= false[drawn]
        done, lost = for_true.sum(1) >= 1, for_false.sum(1) >= 1
        if done.any() or lost.any():
            right[running[done]] = n
            wrong += int((lost & ~done).sum())
            going = ~(done | lost)
            running, for_true, for_false = running[going], for_true[going], for_false[going]
            if not len(running):
                break
    return Stopping(np.sort(right), wrong / trials, limit)


def power_unpaired(n: int, p: float, q: float, alpha: float = 0.05) -> float:
    """Chance that the two-sided pooled score test finds the better of two policies with n episodes of each, by enumeration."""
    z2 = normal_quantile(1 - alpha) ** 2
    x = _likely(n, min(p, q))  # successes of the worse policy
    # (y - x)^2 >= z^2 s (2n - s) / 2n with s = x + y is a quadratic in s; its upper root is the least y that is significant.
    b, c = 4.0 * x + z2, 1 + z2 / (2 * n)
    s = (b + np.sqrt(np.maximum(b * b - 16.0 * x * x * c, 0.0))) / (2 * c)
    y = np.maximum(np.ceil(s - x - 1e-9), x + 1)
    return float(stats.binom.pmf(x, n, min(p, q)) @ stats.binom.sf(y - 1, n, max(p, q)))


def power_fisher(n: int, p: float, q: float, alpha: float = 0.05) -> float:
    """As `power_unpaired`, for Fisher's exact test with twice the smaller tail (Fisher 1935; Agresti 2013, Categorical Data Analysis)."""
    x, y = _likely(n, min(p, q)), _likely(n, max(p, q))
    s = np.arange(x[0] + y[0], x[-1] + y[-1] + 1)  # successes of both
    least = stats.hypergeom.isf(alpha / 2, 2 * n, n, s) + 1  # of the better one, to be significant
    found = y >= least[(x[:, None] + y) - s[0]]
    return float(stats.binom.pmf(x, n, min(p, q)) @ (found @ stats.binom.pmf(y, n, max(p, q))))


def power_paired(n: int, p: float, q: float, discordant: float, alpha: float = 0.05) -> float:
    """Chance that the two-sided exact McNemar test finds the better of two policies on n seeds, by enumeration of the discordant ones."""
    count = _likely(n, discordant)
    critical = stats.binom.isf(alpha / 2, count, 0.5) + 1  # the least number of wins with a tail of at most alpha / 2
    share = (discordant + abs(p - q)) / (2 * discordant)
    return float(stats.binom.pmf(count, n, discordant) @ stats.binom.sf(critical - 1, count, share))


def _likely(n: int, rate: float) -> np.ndarray:
    """The counts of n trials without the tails that nobody will see."""
    return np.arange(int(stats.binom.ppf(TAIL, n, rate)), int(stats.binom.isf(TAIL, n, rate)) + 1).clip(0, n)


def _critical(n: int, bound: float, alpha: float) -> float:
    """The least number of successes in n whose chance, and that of more, is at most alpha at this rate."""
    return float(stats.binom.isf(alpha, n, bound)) + 1


def _half(n: int, rate: float, level: float) -> float:
    low, high = clopper_pearson(round(rate * n), n, level)
    return (high - low) / 2


def _smallest(power_at: Callable[[int], float], wanted: float, start: float, teeth: int = NEIGHBOURS) -> int:
    """The number from which the power stays at `wanted` or above."""
    high = max(2, int(start))
    while high <= MOST and power_at(high) < wanted:
        high *= 2
    if high > MOST:
        raise ValueError(f"more than {MOST:,} episodes: the rates are too close to be told apart")
    low = 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(middle) >= wanted else (middle + 1, high)
    answer = n = low
    while n <= answer + teeth:
        n += 1
        answer = n if power_at(n - 1) < wanted else answer
    return answer


def _discordances(p: float, q: float) -> tuple[float, float]:
    return abs(p - q), min(p + q, 2 - p - q)


def _check_rates(p: float, q: float) -> None:
    if not (0 <= p <= 1 and 0 <= q <= 1):
        raise ValueError(f"rates are {p} and {q}; wanted two success rates between 0 and 1, such as 0.64 and 0.74")


def _check_apart(p: float, q: float, power: float, alpha: float) -> None:
    _check_rates(p, q)
    _check_shares(power=power, alpha=alpha)
    if abs(p - q) < 1e-9:
        raise ValueError(f"both rates are {p}: no number of episodes tells them apart")


def _check_discordant(p: float, q: float, discordant: float) -> None:
    least, most = _discordances(p, q)
    if not least - 1e-9 <= discordant <= most + 1e-9:
        raise ValueError(f"discordant is {discordant}; two rates of {p} and {q} differ on {least:.4g} to {most:.4g} of the seeds")


def _check_shares(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value}; wanted a number between 0 and 1")
