"""Rank the evaluations in some folders: who is best in which environment, and what cannot be told apart.

Evaluations of the same environment with the same settings are ranked by success on the seeds that all of them have. Every
pair is tested there (exact McNemar, corrected by Holm for all pairs of the board, since the best was chosen by looking), and
those that share a letter cannot be told apart. Over several environments: the interquartile mean of each kind of policy
that was evaluated in all of them, with an interval by stratified bootstrap.

leaderboard.html is one page that opens offline. What is damaged or not finished is named, and left out.

examples:
  waldo leaderboard outputs
  waldo leaderboard outputs/eval_flow outputs/eval_bc outputs/eval_random least=50
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig

from data.errors import ConfigError, DatasetError
from data.evaluation import MANIFEST, Evaluation, is_evaluation, manifest_of, read
from data.results import Figure
from waldo.comparison.ranking import Board, Overall, boards, overall
from waldo.dataset.terminal import aligned

SHARES = "shards"  # where an evaluation in several processes keeps what is not yet joined


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    if not 0 < cfg.alpha < 1:
        raise ConfigError(f"alpha={cfg.alpha}: a chance of error between 0 and 1 is wanted, such as 0.05")
    evaluations, skipped = find(cfg.paths, cfg.least)
    made = boards(evaluations, cfg.alpha)
    everywhere = overall(made)
    print("\n".join([*itertools.chain(*map(_told, made)), *_told_overall(made, everywhere), *(f"left out: {line}" for line in skipped)]))
    figures = _figures(made, everywhere, skipped)
    from waldo.reports.leaderboard import write_report

    print(f"report: {write_report(made, everywhere, skipped, cfg.alpha, out)}")
    return figures


def find(folders: Sequence[str], least: int = 1) -> tuple[list[Evaluation], list[str]]:
    """Every finished evaluation of at least `least` episodes in the folders and below, and one line for each that was skipped.

    Raises ConfigError for a folder that is not there, DatasetError if nothing could be read.
    """
    places: dict[Path, Path] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ConfigError(f"paths={folder}: there is no such folder")
        for place in _places(folder):
            places.setdefault(place.resolve(), place)
    found, skipped = [], []
    for place in places.values():
        try:
            evaluation = read(place)
            if len(evaluation.rows) < least:
                raise DatasetError(f"{place} holds {len(evaluation.rows)} episodes; least={least} are wanted")
            found.append(evaluation)
        except DatasetError as error:
            skipped.append(" ".join(str(error).split()))
    if not found:
        held = f"{len(skipped)} evaluations, none of which can be used: {skipped[0]}" if skipped else f"no {MANIFEST}"
        raise DatasetError(f"{', '.join(folders)} holds {held}; `waldo evaluate` makes evaluations")
    return found, skipped


def _places(folder: Path) -> Iterator[Path]:
    """Folders of evaluations; the jobs of a sweep over shards as their common folder, and not the shares of one that is still running."""
    manifests = [
        path for path in sorted(folder.rglob(MANIFEST)) if not is_evaluation(path.parent.parent.parent) or path.parent.parent.name != SHARES
    ]
    for parent, group in itertools.groupby(manifests, key=lambda path: path.parent.parent):
        own = [path.parent for path in group]
        shards = [place for place in own if place.name.isdigit()]
        joined = len(shards) > 1 and is_evaluation(parent) and not (parent / MANIFEST).is_file() and _of_one(shards)
        yield from [parent, *(place for place in own if place not in shards)] if joined else own


def _of_one(shards: Sequence[Path]) -> bool:
    """Whether these are the shards of one evaluation: one identity, no seed twice."""
    try:
        manifests = [manifest_of(shard) for shard in shards]
    except DatasetError:
        return False
    seeds = [seed for manifest in manifests for seed in manifest.seeds]
    return len({manifest.identity for manifest in manifests}) == 1 and bool(manifests[0].identity) and len(set(seeds)) == len(seeds)


def _told(board: Board) -> list[str]:
    """The lines of one board."""
    rows = [("", "", "", "success", "95 % interval", "of", "", "against the best")]
    for position, s in enumerate(board.standings):
        low, high = s.interval
        against = f"{100 * s.behind.value:+.1f} [{100 * s.behind.low:+.1f}, {100 * s.behind.high:+.1f}], p = {s.p:.2g}" if s.behind else ""
        interval = f"[{100 * low:.1f}, {100 * high:.1f}]"
        rows.append((board.rank(position), s.name, s.kind, f"{s.rate:.1%}", interval, str(len(s.success)), s.letters, against))
    return [board.title + f": {board.says()}", *aligned(rows, right=(0, 3, 4, 5)), ""]


def _told_overall(made: Sequence[Board], everywhere: Sequence[Overall]) -> list[str]:
    if len(made) < 2:
        return []
    if not everywhere:
        return [f"no policy was evaluated in all {len(made)} environments: there is no mean over them", ""]
    rows = [("", "interquartile mean", "95 % interval", "over")]
    rows += [(row.policy, f"{row.value:.1%}", f"[{100 * row.low:.1f}, {100 * row.high:.1f}]", row.resampled) for row in everywhere]
    return [f"over {len(made)} environments:", *aligned(rows, right=(1, 2)), ""]


def _figures(made: Sequence[Board], everywhere: Sequence[Overall], skipped: Sequence[str]) -> list[Figure]:
    count = sum(len(board.standings) for board in made)
    figures = [Figure("evaluations", float(count)), Figure("environments", float(len(made))), Figure("left_out", float(len(skipped)))]
    for board in made:
        figures += [Figure(f"success/{board.title}/{s.name}", s.rate, "", len(s.success), *s.interval) for s in board.standings]
    return figures + [Figure(f"iqm/{row.policy}", row.value, "", None, row.low, row.high) for row in everywhere]
