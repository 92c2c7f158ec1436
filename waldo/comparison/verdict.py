"""What two policies' results on the same seeds prove: rates, their difference, a verdict, and the words for them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from data.results import Figure
from data.statistics import mcnemar_exact, paired_difference, success_rate, wilson
from data.statistics.sequential import Decision, Verdict, non_inferiority

STATUS = {"non-inferior": 0, "worse": 1, "undecided": 2}  # exit status of `waldo compare`
POWER = 0.8  # with which the unpaired test that was not needed is planned


@dataclass(frozen=True)
class Comparison:
    """Two policies on the same seeds.

    a, b        (n,) bool, success of the candidate and of the reference, in the order of the seeds
    sequential  whether the verdict may come at any episode; else it is one look at all n, by Newcombe's interval
    stopped     whether no more than these episodes were played because the verdict was there
    """

    a: np.ndarray
    b: np.ndarray
    margin: float
    alpha: float
    sequential: bool
    verdict: Verdict
    stopped: bool = False

    @property
    def status(self) -> int:
        return STATUS[self.verdict.decision]

    def figures(self) -> list[Figure]:
        """For summary.json. `verdict` is the exit status; `seeds` how many it took."""
        n, p_value = len(self.a), mcnemar_exact(self.a, self.b)
        apart, verdict = paired_difference(self.a, self.b), self.verdict
        found = [
            Figure("verdict", float(self.status)),
            _rate("success/candidate", self.a),
            _rate("success/reference", self.b),
            Figure("difference", apart.value, "", n, apart.low, apart.high),
            Figure("mcnemar/p", p_value[0], "", n),
            Figure("mcnemar/only_candidate", float(p_value[1]), "", n),
            Figure("mcnemar/only_reference", float(p_value[2]), "", n),
            Figure("seeds", float(verdict.n), "", n),
            Figure("margin", self.margin),
            Figure("alpha", self.alpha),
        ]
        if self.sequential:
            found += [
                Figure("evidence/not_worse", verdict.evidence_for, "", verdict.n),
                Figure("evidence/worse", verdict.evidence_against, "", verdict.n),
            ]
        found.append(Figure(f"difference/level_{1 - 2 * self.alpha:g}", verdict.difference, "", verdict.n, verdict.low, verdict.high))
        if verdict.decision != "undecided":
            found.append(Figure("unpaired", float(self.unpaired())))
        return found

    def unpaired(self) -> int:
        """Episodes of each policy that a test on different seeds would have been planned with for this verdict, at rates like these."""
        return unpaired(int(self.a.sum()), int(self.b.sum()), len(self.a), self.margin, self.alpha)

    def table(self, names: tuple[str, str]) -> list[tuple[str, str, str, str]]:
        """(what, value, interval, remark) of the candidate, the reference, and their difference."""
        p_value, only_a, only_b = mcnemar_exact(self.a, self.b)
        apart, verdict = paired_difference(self.a, self.b), self.verdict
        rows = [("", "success", "95 % interval", "")]
        for what, name, success in zip(("candidate", "reference"), names, (self.a, self.b), strict=True):
            low, high = wilson(int(success.sum()), len(success))
            remark = f"{success.sum()} of {len(success)}  {name}"
            rows.append((what, f"{success.mean():.1%}", f"[{100 * low:.1f}, {100 * high:.1f}]", remark))
        remark = f"{_count(only_a)} only the candidate, {only_b} only the reference; exact McNemar p = {p_value:.2g}"
        rows.append(("difference", _points(apart.value), _interval(apart.low, apart.high), remark))
        level = f"{1 - 2 * self.alpha:.4g}"
        if not self.sequential:
            remark = f"the same at level {level}, which decides"
            return [*rows, ("", _points(verdict.difference), _interval(verdict.low, verdict.high), remark)]
        remark = f"after {_count(verdict.n)}, and at every number of them; level {level}"
        rows.append(("sequential", _points(verdict.difference), _interval(verdict.low, verdict.high), remark))
        remark = f"for: {self._held()}; {_evidence(1 / self.alpha)} is enough"
        rows.append(("evidence", _evidence(verdict.evidence_for), "", remark))
        return [*rows, ("", _evidence(verdict.evidence_against), "", f"for: {self._bound()}")]

    def sentences(self) -> list[str]:
        """The verdict, what it took, and what holds."""
        decision, of, bound = self.verdict.decision, len(self.a), self._bound()
        if decision == "undecided":
            more = "more seeds or a wider margin may"
            return [f"UNDECIDED: {_count(of)} cannot settle whether the candidate is {bound} (alpha {self.alpha:g}); {more}."]
        good = "not worse" if self.margin else "better"
        said = f"{good}: it is {self._held()}" if decision == "non-inferior" else f"WORSE: it is {bound}"
        took = f"the first {self.verdict.n} of {_count(of)}" if self.verdict.n < of else _count(of)
        instead = f"a test on different seeds would be planned with about {self.unpaired():,} of each policy (power {POWER:g})"
        lines = [f"The candidate is {said} (alpha {self.alpha:g}).", f"It took {took}; {instead}."]
        if self.stopped:
            lines.append(
                "Episodes ended with the verdict: p and the 95 % interval of the difference hold for a number of seeds said before."
            )
        return lines

    def _bound(self) -> str:
        return f"more than {100 * self.margin:g} points below the reference" if self.margin else "below the reference"

    def _held(self) -> str:
        return f"not {self._bound()}" if self.margin else "above the reference"


def compare(a: np.ndarray, b: np.ndarray, margin: float, alpha: float, sequential: bool, stopped: bool = False) -> Comparison:
    """Judge (n,) successes of the candidate `a` and the reference `b`, n >= 1."""
    verdict = non_inferiority(a, b, margin, alpha) if sequential else _one_look(a, b, margin, alpha)
    return Comparison(a, b, margin, alpha, sequential, verdict, stopped)


def unpaired(wins_a: int, wins_b: int, n: int, margin: float, alpha: float, power: float = POWER) -> int:
    """Episodes of each policy for a one-sided test of "the difference is not -margin" on different seeds, in the normal approximation:
    (z_alpha + z_beta)^2 (p (1 - p) + q (1 - q)) / (p - q + margin)^2 (Chow, Shao, Wang 2008, Sample Size Calculations in Clinical
    Research, section 4.2). Rates are shrunk by two successes and two failures (Agresti, Caffo 2000, Am. Stat. 54), because n successes
    of n do not mean that there is no variance.
    """
    p, q = (wins_a + 2) / (n + 4), (wins_b + 2) / (n + 4)
    z = float(stats.norm.isf(alpha) + stats.norm.ppf(power))
    gap = p - q + margin
    return max(1, math.ceil(z * z * (p * (1 - p) + q * (1 - q)) / gap**2)) if gap else 0


def _one_look(a: np.ndarray, b: np.ndarray, margin: float, alpha: float) -> Verdict:
    """By Newcombe's interval at level 1 - 2 alpha, each end of which is wrong with a chance of about alpha."""
    found = paired_difference(a, b, 1 - 2 * alpha)
    decision: Decision = "non-inferior" if found.low > -margin else "worse" if found.high < -margin else "undecided"
    return Verdict(decision, math.nan, math.nan, found.value, found.low, found.high, found.n)


def _rate(name: str, success: np.ndarray) -> Figure:
    return success_rate(name, int(success.sum()), len(success))


def _points(difference: float) -> str:
    return f"{100 * difference + 0.0:+.1f}"


def _interval(low: float, high: float) -> str:
    return f"[{_points(low)}, {_points(high)}]"


def _evidence(value: float) -> str:
    return f"{value:,.0f}" if 10 <= value < 1e6 else f"{value:.2g}"


def _count(seeds: int) -> str:
    return "1 seed" if seeds == 1 else f"{seeds} seeds"
