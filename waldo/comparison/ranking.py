"""Who is best where: evaluations by environment, ranked on the seeds they share, with what can and what cannot be told apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

import numpy as np

from data.errors import DatasetError
from data.evaluation import Evaluation, flat_settings, require_same_place
from data.statistics import Difference, mcnemar_exact, paired_difference, wilson
from data.statistics.aggregate import holm, iqm, stratified_bootstrap


@dataclass(frozen=True)
class Standing:
    """One evaluation on its board.

    success     (n,) bool on the board's seeds
    letters     evaluations that share one cannot be told apart; "" where nothing could be tested
    behind      rate minus the best's, with Newcombe's interval; None for the best, and where nothing could be tested
    p           of that difference, exact McNemar, corrected by Holm for all pairs of the board
    """

    name: str
    evaluation: Evaluation
    success: np.ndarray
    letters: str = ""
    behind: Difference | None = None
    p: float = 1.0

    @property
    def rate(self) -> float:
        return float(self.success.mean())

    @property
    def kind(self) -> str:
        return self.evaluation.manifest.policy

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(int(self.success.sum()), len(self.success))


@dataclass(frozen=True)
class Board:
    """The evaluations of one environment, best first. `shared`: how many seeds all of them have; with 0 each is shown on its own."""

    title: str
    standings: tuple[Standing, ...]
    shared: int

    def says(self) -> str:
        """How it was ranked."""
        if len(self.standings) == 1:
            return f"{self.shared} seeds"
        return (
            f"the {self.shared} seeds that all have"
            if self.shared
            else "no seed that all have, so each stands on its own and nothing is tested"
        )

    def rank(self, position: int) -> str:
        """`=1` for all that cannot be told from the best."""
        best, own = self.standings[0].letters, self.standings[position].letters
        tied = bool(set(best) & set(own)) and any(set(best) & set(other.letters) for other in self.standings[1:])
        return "=1" if tied else str(position + 1)


@dataclass(frozen=True)
class Overall:
    """Interquartile mean over environments of one kind of policy. `resampled`: what its interval is over."""

    policy: str
    value: float
    low: float
    high: float
    resampled: str


def boards(evaluations: Sequence[Evaluation], alpha: float) -> list[Board]:
    """One per environment, in the order of their titles."""
    groups: list[list[Evaluation]] = []
    for evaluation in evaluations:
        group = next((group for group in groups if _same_place(group[0], evaluation)), None)
        if group is None:
            groups.append(group := [])
        group.append(evaluation)
    names = _names([evaluation.folder for evaluation in evaluations])
    titles = _titles([group[0] for group in groups])
    made = [_board(title, [(names[e.folder], e) for e in group], alpha) for title, group in zip(titles, groups, strict=True)]
    return sorted(made, key=lambda board: board.title)


def overall(made: Sequence[Board]) -> list[Overall]:
    """Of the kinds of policies that were evaluated in every environment, best first; nothing for one environment.

    A policy is known by its name. Where every environment has the same number of its trainings, two or more, they are what is drawn
    anew in the bootstrap (as in Agarwal et al. 2021); otherwise the episodes of each environment are, which says nothing about another
    training.
    """
    if len(made) < 2:
        return []
    found = []
    for policy in sorted({s.kind for s in made[0].standings}):
        runs = [[s.success for s in board.standings if s.kind == policy] for board in made]
        counts = {len(own) for own in runs}
        if 0 in counts:
            continue
        if len(counts) == 1 and counts != {1}:
            scores = np.array([[success.mean() for success in own] for own in runs])
            found.append(Overall(policy, *stratified_bootstrap(scores, iqm), f"{counts.pop()} trainings"))
        else:
            found.append(Overall(policy, *_by_episodes([np.concatenate(own) for own in runs]), "episodes"))
    return sorted(found, key=lambda row: -row.value)


def letters(apart: np.ndarray) -> list[str]:
    """Compact letters: entries share one if and only if nothing tells them apart, by insertion and absorption (Piepho 2004, J. Comput.
    Graph. Stat. 13:456).

    apart   (k, k) bool, symmetric; the first entries get the first letters
    """
    k = len(apart)
    columns = [frozenset(range(k))]
    for i, j in itertools.combinations(range(k), 2):
        if not apart[i, j]:
            continue
        split = [part for column in columns for part in ((column - {i}, column - {j}) if {i, j} <= column else (column,))]
        distinct = list(dict.fromkeys(split))
        columns = [column for column in distinct if not any(column < other for other in distinct)]
    columns.sort(key=sorted)
    signs = [ascii_lowercase[n % 26] + (str(n // 26 + 1) if n >= 26 else "") for n in range(len(columns))]
    return ["".join(sign for sign, column in zip(signs, columns, strict=True) if i in column) for i in range(k)]


def _board(title: str, entries: list[tuple[str, Evaluation]], alpha: float) -> Board:
    seeds = entries[0][1].seeds
    for _, evaluation in entries[1:]:
        seeds = np.intersect1d(seeds, evaluation.seeds)
    plain = [Standing(name, e, e.success[np.isin(e.seeds, seeds)] if len(seeds) else e.success) for name, e in entries]
    plain.sort(key=lambda s: (-s.rate, s.name))
    if not len(seeds) or len(plain) < 2:
        return Board(title, tuple(plain), len(seeds))
    pairs = list(itertools.combinations(range(len(plain)), 2))
    corrected = holm([mcnemar_exact(plain[i].success, plain[j].success)[0] for i, j in pairs])
    p = np.ones((len(plain), len(plain)))
    for (i, j), value in zip(pairs, corrected, strict=True):
        p[i, j] = p[j, i] = value
    best, signs = plain[0], letters(p < alpha)
    standings = [Standing(best.name, best.evaluation, best.success, signs[0])]
    for i, s in enumerate(plain[1:], 1):
        behind = paired_difference(s.success, best.success)
        standings.append(Standing(s.name, s.evaluation, s.success, signs[i], behind, float(p[0, i])))
    return Board(title, tuple(standings), len(seeds))


def _same_place(a: Evaluation, b: Evaluation) -> bool:
    try:
        require_same_place(a.manifest, b.manifest)
    except DatasetError:
        return False
    return True


def _titles(firsts: Sequence[Evaluation]) -> list[str]:
    """Task and robot, and where those are not enough the settings that differ."""
    plain = [f"{e.manifest.task} · {e.manifest.robot}" for e in firsts]
    settings = [flat_settings(e.manifest.environment) for e in firsts]
    titles = []
    for title, own in zip(plain, settings, strict=True):
        others = [other for name, other in zip(plain, settings, strict=True) if name == title]
        keys = sorted(key for key in {*itertools.chain(*others)} if len({repr(other.get(key)) for other in others}) > 1)
        titles.append(" · ".join([title, *(f"{key}={own.get(key)}" for key in keys)]))
    return titles


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """Folders without what all of them begin with."""
    parts = [folder.parts for folder in folders]
    common = next((i for i, column in enumerate(zip(*parts)) if len(set(column)) > 1), 0)
    return {folder: str(Path(*folder.parts[common:])) for folder in folders}


def _by_episodes(runs: Sequence[np.ndarray], resamples: int = 2000) -> tuple[float, float, float]:
    """(value, low, high) of the interquartile mean of the environments' rates; to draw n zeros and ones anew is to draw a binomial."""
    counts, rates = np.array([len(own) for own in runs]), np.array([own.mean() for own in runs])
    drawn = np.random.default_rng(0).binomial(counts, rates, (resamples, len(runs))) / counts
    low, high = np.quantile([iqm(row) for row in drawn], [0.025, 0.975])
    return iqm(rates), float(low), float(high)
