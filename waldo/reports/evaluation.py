"""The report of `waldo evaluate`: what was found, how sure it is, where and when episodes fail. Made to be read in two minutes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from data.beginnings import Divide, beginnings, divide
from data.charts import amounts, latency_histogram, success_over_time
from data.errors import DatasetError
from data.evaluation import ROWS, Evaluation
from data.failures import Failure, kinds
from data.lerobot.video import count_frames
from data.report import Report, Video
from data.results import SUMMARY, Figure, read_summary
from data.statistics import median_interval, wilson
from waldo import provenance
from waldo.reports.failures import SURE, beginnings_section, failures_section

FILMS = 20  # clips on the page
POINTS = 400  # times at which the share of successes is drawn
ALSO = 0.6  # a kind of failure this much as frequent as the first is named beside it
EACH = 2  # episodes of each kind of failure that are proposed for filming
LISTED = 5  # episodes named as the most limited ones
REPORT = "report.html"
OTHERWISE = ("out=", "seed=", "seeds=", "episodes=", "shard=", "videos=", "workers=", "report=")  # words that a second look says otherwise


def write_report(evaluation: Evaluation, out: Path | None = None) -> Path:
    """Write `report.html` beside the rows, or into `out`, and return its path. A trace or film that cannot be read is left out, and said."""
    manifest, failures = evaluation.manifest, kinds(evaluation)
    trouble: list[str] = []
    start = beginnings(evaluation, trouble)
    cut = divide(start) if start is not None else None
    report = Report(f"{_short(manifest.policy)} on {manifest.task}", _subtitle(evaluation), _provenance(evaluation))
    report.finding(finding(evaluation, failures))
    _headline(report, evaluation, failures, cut)
    if not evaluation.complete:
        report.note(
            f"**Not finished:** {len(evaluation.rows):,} of {len(manifest.seeds):,} episodes. The same command goes on with the rest."
        )
    _steps(report, evaluation)
    failures_section(report, evaluation, failures, trouble)
    beginnings_section(report, evaluation, start, cut)
    _films(report, evaluation, trouble)
    _latency(report, evaluation)
    _limits(report, evaluation)
    _next(report, evaluation, failures)
    if trouble:
        report.note("**Left out:** " + "; ".join(trouble[:4]) + (f"; and {len(trouble) - 4} more" if len(trouble) > 4 else ""))
    return report.write((out if out is not None else evaluation.folder) / REPORT)


def finding(evaluation: Evaluation, failures: Sequence[Failure]) -> str:
    """What was found, in one sentence."""
    n, failed = len(evaluation.rows), sum(len(failure.seeds) for failure in failures)
    if n == 1:
        return "The one episode succeeds." if not failed else f"The one episode fails: it {failures[0].says()}."
    if not failed:
        return f"All {n:,} episodes succeed; the 95 % interval of the success rate begins at {100 * wilson(n, n)[0]:.1f} %."
    most, count = failures[0], len(failures[0].seeds)
    also = (
        f", another {len(failures[1].seeds):,} {failures[1].says()}" if len(failures) > 1 and len(failures[1].seeds) >= ALSO * count else ""
    )
    if failed == n:
        return f"None of {n:,} episodes succeeds; " + (f"all {most.kind}." if count == n else f"{count:,} {most.says()}{also}.")
    succeed = f"Of {n:,} episodes {n - failed:,} {'succeeds' if n - failed == 1 else 'succeed'}"
    if failed == 1:
        return f"{succeed}; the one failure {most.says()}."
    which = f"all {failed:,} failures {most.kind}" if count == failed else f"{count:,} of the {failed:,} failures {most.says()}{also}"
    return f"{succeed}; {which}."


def clips(films: Iterable[Path]) -> list[Video]:
    """Films named `seed_7_failure.mp4`, failures first."""
    named = [(path.stem.endswith("success"), int(path.stem.split("_")[1]), path) for path in films]
    return [Video(path, f"seed {seed}", success) for success, seed, path in sorted(named)]


def rate(name: str, successes: int, n: int) -> Figure:
    low, high = wilson(successes, n)
    return Figure(f"rate/{name}", successes / n, "", n, low, high)


def _subtitle(evaluation: Evaluation) -> str:
    m = evaluation.manifest
    engine = m.environment.get("engine")
    parts = [
        m.instruction.rstrip("."),
        m.robot,
        str(engine) if engine else "",
        f"{len(m.seeds):,} seeds from {min(m.seeds)}",
    ]
    return " · ".join(part for part in [*parts, f"at most {m.max_steps / m.rate_hz:.3g} s each"] if part)


def _short(policy: str) -> str:
    """`flow` of outputs/flow/checkpoint: a path makes no title."""
    parts = [part for part in policy.split("/") if part]
    return next((part for part in reversed(parts) if part != "checkpoint"), policy)


def _provenance(evaluation: Evaluation) -> dict[str, object]:
    """Of the run that wrote the summary, if it is there; else of this one."""
    if (evaluation.folder / SUMMARY).exists():
        origin = read_summary(evaluation.folder)[1]
    else:
        origin = provenance.collect(seed=min(evaluation.manifest.seeds))
    manifest = {key: value for key, value in asdict(evaluation.manifest).items() if key != "seeds"}
    return {**origin, "evaluation": manifest}


def _headline(report: Report, evaluation: Evaluation, failures: Sequence[Failure], cut: Divide | None) -> None:
    rows, n = evaluation.rows, len(evaluation.rows)
    report.headline([rate("success", int(evaluation.success.sum()), n)], ["success"])
    times = _seconds(evaluation)
    if len(times):
        middle, low, high = median_interval(times)
        report.headline([Figure("time", float(f"{middle:.3g}"), "s", len(times), low, high)], ["time to success"], ["median"])
    if failures:
        failed = sum(len(failure.seeds) for failure in failures)
        count = len(failures[0].seeds)
        report.headword("fails most", failures[0].kind, f"{count:,} of {failed:,} failures")
    if cut is not None and cut.p <= SURE:
        (worse, n_worse), (better, n_better) = cut.worse, cut.better
        below = f"{worse:,} of {n_worse:,} succeed; elsewhere {better:,} of {n_better:,}"
        report.headword("where it fails", f"`{cut.name}` {cut.where}", below)
    milliseconds = evaluation.latency_ms()
    if len(milliseconds):
        allowed = f"median; p99 {np.quantile(milliseconds, 0.99):.3g}, allowed {_allowed_ms(evaluation):.3g} ms"
        middle = float(f"{np.median(milliseconds):.3g}")
        report.headline([Figure("latency", middle, "ms")], ["time to decide"], [allowed])
    limited = _limited(evaluation)
    if limited is not None:
        share = float(limited.sum() / max(1, sum(int(row["length"]) for row in rows)))
        report.headline([Figure("rate/limited", share)], ["steps cut by limits"])


def _steps(report: Report, evaluation: Evaluation) -> None:
    """The table of how far episodes come, and success against time."""
    m, rows, n = evaluation.manifest, evaluation.rows, len(evaluation.rows)
    report.section("How far episodes come")
    reached = {name: [row["milestones"][name] for row in rows if name in (row.get("milestones") or {})] for name in m.milestones}
    ended = [int(row["length"]) for row in rows if row["success"]]
    steps = {**reached, "**success**": ended}
    figures = [rate(name, len(at), n) for name, at in steps.items()]
    medians = [float(np.median(at)) / m.rate_hz if at else None for at in steps.values()]
    report.figures(
        figures,
        "Share of all episodes that reach each step, with its 95 % Wilson interval, and when they first do (median of those that do).",
        [*steps],
        {"first reached [s]": medians},
    )
    times = np.arange(m.max_steps + 1)
    if len(times) > POINTS:
        times = np.unique(np.linspace(0, m.max_steps, POINTS).astype(int))
    done = np.searchsorted(np.sort(ended), times, side="right")
    band = np.array([wilson(int(k), n) for k in done]).T
    before = {name: np.searchsorted(np.sort(at), times, side="right") / n for name, at in reached.items() if at}
    report.plot(
        success_over_time(times / m.rate_hz, done / n, (band[0], band[1]), m.max_steps / m.rate_hz, before),
        "Share of all episodes that have succeeded by a time; the band is its 95 % interval at that time."
        + (" Thin lines: the steps before success." if before else "")
        + (" A curve that still rises at the limit says that more time would help." if ended else ""),
    )


def _films(report: Report, evaluation: Evaluation, trouble: list[str]) -> None:
    found = clips(evaluation.videos().values())
    if not found:
        return
    shown = []
    for clip in found[:FILMS]:
        try:
            count_frames(Path(str(clip.source)))
            shown.append(clip)
        except DatasetError as error:
            trouble.append(str(error))
    if not shown:
        return
    more = f" {len(shown)} of {len(found)} are shown." if len(found) > len(shown) else ""
    report.section("Films", f"Of the seeds that were filmed, failures first.{more}")
    report.videos(shown, width=160)


def _latency(report: Report, evaluation: Evaluation) -> None:
    milliseconds = evaluation.latency_ms()
    milliseconds = milliseconds[milliseconds > 0]
    if not len(milliseconds):
        return
    m, allowed = evaluation.manifest, _allowed_ms(evaluation)
    late = int((milliseconds > allowed).sum())
    report.section(
        "Time to decide",
        f"A chunk of {m.n_action_steps} actions at {m.rate_hz:g} Hz lasts {allowed:.4g} ms; a policy that decides in less keeps up. "
        + (f"**{late:,} of {len(milliseconds):,} took longer.**" if late else "None took longer.")
        + " Single decisions for one robot, on the machine that evaluated.",
    )
    report.plot(latency_histogram(milliseconds, allowed, "per chunk"))


def _limits(report: Report, evaluation: Evaluation) -> None:
    steps = _limited(evaluation)
    if steps is None:
        return
    seeds, success, lengths = evaluation.seeds, evaluation.success, evaluation.column("length")
    touched = int((steps > 0).sum())
    report.section(
        "Interventions",
        "Control steps in which the environment did not do all that was asked, because a limit of position, reach or speed said no.",
    )
    share = 100 * steps / np.maximum(lengths, 1)
    drawn = amounts(share, success, "share of the control steps of an episode [%]", "%")
    report.plot(drawn, f"{touched:,} of {len(steps):,} episodes were limited at least once.")
    order = np.lexsort((seeds, -share))[:LISTED]
    report.table(
        ["seed", "limited", "control steps", "share", "success"],
        [[str(seeds[i]), int(steps[i]), int(lengths[i]), f"{share[i]:.0f} %", bool(success[i])] for i in order if steps[i]],
        "The episodes with most of them.",
    )


def _next(report: Report, evaluation: Evaluation, failures: Sequence[Failure]) -> None:
    folder, words = evaluation.folder, _words(report)
    told = []
    if failures and words:
        seeds = [str(seed) for failure in failures for seed in failure.seeds[:EACH]]
        again = [word for word in words if not word.startswith(OTHERWISE)]
        again += [f"seeds=[{','.join(seeds)}]", f"videos={len(seeds)}", "report=true", f"out={folder}_failures"]
        told.append(("films of failures", ["evaluate", *again]))
    if failures and not any(word.startswith("policy=") for word in words):
        place = [] if any(word.startswith("env=") for word in words) else [f"env={evaluation.manifest.task}"]
        where = [word for word in words if word.startswith(("checkpoint=", "env=", "env.")) and not word.startswith("env.num_envs=")]
        why = "why it fails, and what to try; DATASET: what it was trained on"
        told.append((why, ["diagnose", *where, *place, "data=DATASET", f"evaluation={folder}"]))
    told.append(("is another policy worse than this one, by more than chance?", ["compare", "OTHER", str(folder)]))
    report.section("What to do next")
    report.code("\n\n".join(f"# {title}\n{shlex.join(['waldo', *command])}" for title, command in told))
    if (folder / ROWS).exists():
        report.text(f"Every episode is a row of `{folder / ROWS}`; a seed always gives the same episode.")


def _words(report: Report) -> list[str]:
    """What was said to `waldo`, if it was to evaluate; else nothing."""
    try:
        words = shlex.split(str(report.provenance.get("command_line", "")))
    except ValueError:
        return []
    return words[2:] if words[:2] == ["waldo", "evaluate"] and not {"-m", "--multirun"} & {*words} else []


def _limited(evaluation: Evaluation) -> np.ndarray | None:
    """(n,) control steps; a row without the column had none. None where no row has it."""
    limited = evaluation.column("limited")
    return np.nan_to_num(limited) if np.isfinite(limited).any() else None


def _seconds(evaluation: Evaluation) -> np.ndarray:
    """(successes,) [s] until success."""
    return np.array([row["length"] for row in evaluation.rows if row["success"]], float) / evaluation.manifest.rate_hz


def _allowed_ms(evaluation: Evaluation) -> float:
    return 1e3 * evaluation.manifest.n_action_steps / evaluation.manifest.rate_hz
