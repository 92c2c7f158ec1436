"""The page of `waldo leaderboard`: who is best where, by how much, and what cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.charts import INK, LINE, SERIES, SOFT, axes, svg
from data.report import Report
from data.results import Figure
from waldo import provenance
from waldo.comparison.ranking import Board, Overall, Standing

PAGE = "leaderboard.html"
TILES = 6
LABEL = 48  # characters of a name in a plot
FAR = 0.4  # behind the best: what is further away is not drawn, it would squeeze the rest


def write_report(made: Sequence[Board], everywhere: Sequence[Overall], skipped: Sequence[str], alpha: float, out: Path) -> Path:
    """Write `out/leaderboard.html` and return its path."""
    count = sum(len(board.standings) for board in made)
    where = "one environment" if len(made) == 1 else f"{len(made)} environments"
    report = Report("Leaderboard", f"{count} evaluation{'s' * (count != 1)} in {where}", provenance.collect())
    report.finding(finding(made))
    tops = (
        [(s.name, s) for s in made[0].standings]
        if len(made) == 1
        else [(f"{b.title}: {b.standings[0].name}", b.standings[0]) for b in made]
    )
    report.headline([_rate(s) for _, s in tops[:TILES]], [name for name, _ in tops[:TILES]])
    if skipped:
        report.note("**Left out:** " + "; ".join(skipped))
    if everywhere:
        _everywhere(report, everywhere, len(made))
    for board in made:
        _board(report, board)
    report.section("How to read this")
    report.text(
        "A rate is the share of successes on the seeds that all evaluations of its board have, with Wilson's 95 % interval. Every pair is "
        f"tested on these seeds: exact McNemar, corrected by Holm for all pairs of the board, at {alpha:g} together. **Evaluations that share a "
        "letter cannot be told apart**; that does not make them equal. `=1` marks all that cannot be told from the best, and p is that of the "
        "pair with the best, corrected.\n\n"
        "The best of many is flattered by having been chosen: its rate on new seeds will be lower on average. What is reported elsewhere "
        "should be measured on seeds that nothing was chosen on."
    )
    return report.write(out / PAGE)


def finding(made: Sequence[Board]) -> str:
    """Who leads, in one sentence."""
    if len(made) != 1:
        contested = [board for board in made if len(board.standings) > 1]
        alone = sum(board.rank(0) == "1" and bool(board.shared) for board in contested)
        where = f"the {len(contested)} environments with more than one evaluation"
        if not alone:
            return f"In none of {where} does one lead beyond chance: the best is tied."
        return f"In {alone} of {where} one leads beyond chance{'; in the others the best is tied' if alone < len(contested) else ''}."
    board = made[0]
    first = board.standings[0]
    if len(board.standings) == 1:
        return f"`{first.name}` is alone: {first.rate:.1%}."
    tied = sum(board.rank(i) == "=1" for i in range(len(board.standings)))
    if not board.shared:
        return "The evaluations share no seed, so that none can be said to be better."
    if tied:
        return f"`{first.name}` leads with {first.rate:.1%}, but {tied - 1} other{'s' * (tied != 2)} cannot be told from it on {board.shared} seeds."
    return f"`{first.name}` is the best with {first.rate:.1%}, beyond chance, on {board.shared} seeds."


def _everywhere(report: Report, everywhere: Sequence[Overall], environments: int) -> None:
    report.section(
        f"Over all {environments} environments",
        "Interquartile mean of success: the middle half of all scores, so that one very easy or very hard environment does not decide.",
    )
    figures = [Figure(f"rate/{row.policy}", row.value, "", None, row.low, row.high) for row in everywhere]
    report.figures(
        figures,
        "95 % intervals by stratified bootstrap: trainings, or where there is one, episodes are drawn anew within each environment.",
        labels=[row.policy for row in everywhere],
        columns={"drawn anew": [row.resampled for row in everywhere]},
    )


def _board(report: Report, board: Board) -> None:
    report.section(board.title, f"Ranked on {board.says()}.")
    standings = board.standings
    figures = [_rate(s) for s in standings]
    tested = bool(standings[0].letters)
    columns = {"letters": [s.letters for s in standings], "p": ["" if s.behind is None else f"{s.p:.2g}" for s in standings]}
    labels = [f"**{board.rank(i)}** {s.name}{_kind(s)}" for i, s in enumerate(standings)]
    report.figures(figures, labels=labels, columns=columns if tested else None)
    if tested:
        near = [i for i, s in enumerate(standings) if s.behind is None or s.behind.value > -FAR or board.rank(i) == "=1"]
        far = len(standings) - len(near)
        left = f" Not drawn: {far} that {'is' if far == 1 else 'are'} {100 * FAR:.0f} points or more behind." if far else ""
        if len(near) > 1:
            report.plot(
                _behind(board, near),
                "Success minus that of the best, in points, with Newcombe's paired 95 % interval, which is not corrected for the number of "
                f"pairs. Filled: cannot be told from the best.{left}",
            )


def _rate(standing: Standing) -> Figure:
    return Figure(f"success/{standing.name}", standing.rate, "", len(standing.success), *standing.interval)


def _kind(standing: Standing) -> str:
    """What the policy is called, where its folder does not say so."""
    return "" if standing.kind == Path(standing.name).name else f" ({standing.kind})"


def _behind(board: Board, drawn: Sequence[int]) -> str:
    """One row per position in `drawn`, the best on top."""
    standings = [board.standings[i] for i in drawn]
    plot, ax = axes(8.4, 0.7 + 0.34 * len(standings))
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", color=LINE, linewidth=0.8)
    ax.axvline(0, color=SOFT, linewidth=1.2)
    for i, s in enumerate(standings):
        color = SERIES[0] if i == 0 or board.rank(drawn[i]) == "=1" else SOFT
        value, low, high = (0.0, 0.0, 0.0) if s.behind is None else (100 * s.behind.value, 100 * s.behind.low, 100 * s.behind.high)
        ax.plot([low, high], [i, i], color=color, linewidth=2.2, solid_capstyle="round")
        ax.plot([value], [i], "o", color=color, markersize=7, markerfacecolor=color if color != SOFT else "none", markeredgewidth=1.6)
    ax.set_yticks(range(len(standings)), [s.name if len(s.name) <= LABEL else "…" + s.name[1 - LABEL :] for s in standings])
    ax.tick_params(axis="y", colors=INK, pad=6)
    ax.set_ylim(len(standings) - 0.5, -0.5)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:+g}" if value else "0")
    return svg(plot)
