"""The diagnosis as one page: the sentence, the causes, and the policy's chunks beside recorded actions, per element."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.charts import INK, SERIES, SOFT, axes, svg
from data.report import Report
from policies.diagnosis import propose
from waldo import provenance
from waldo.diagnosis import Trial
from waldo.diagnosis.conclusion import Diagnosis
from waldo.diagnosis.open_loop import errors

MOST = 8  # elements that are drawn


def write_page(trial: Trial, diagnosis: Diagnosis, out: Path) -> Path:
    study = trial.study
    page = Report("Why does it fail?", f"`{study.place}` on `{study.dataset.root}`", provenance.collect())
    page.note(diagnosis.sentence)
    page.section("Causes", "Ranked by the strength of their evidence." if diagnosis.alarms else "None was found.")
    for number, alarm in enumerate(diagnosis.alarms, 1):
        page.subsection(f"{number}. {alarm.cause}", f"**{alarm.weight}.** {alarm.found}.\n\n{alarm.why}.\n\n**Try:** {alarm.next}")
    page.section("Open-loop error", "Root mean square over the executed actions, of the mean of several chunks, in recorded observations.")
    groups = errors(study)
    for group, rows in groups.items():
        title = {"trained": "episodes that it was trained on", "held_out": "episodes that it never saw"}[group]
        table = [(row.name, row.unit, row.error, row.spread, row.error / max(row.spread, 1e-9)) for row in rows]
        page.table(("action", "unit", "error", "spread of what was done", "error / spread"), table, f"{rows[0].n:,} actions of {title}")
    page.plot(_drawn(trial), "One recorded episode: what was done (black) and the chunks of the policy in the same observations (colour).")
    page.section("Measured")
    page.table(("", "value", "unit"), [(name, value, unit) for name, (value, unit) in diagnosis.measured.items()])
    if diagnosis.notes:
        page.section("Not looked at", "\n\n".join(diagnosis.notes))
    return page.write(out / "diagnosis.html")


def _drawn(trial: Trial) -> str:
    """Chunks over an episode, one row per element."""
    from matplotlib.figure import Figure as Plot

    study = trial.study
    spec = study.policy.spec
    episode = int(study.held_out[0] if len(study.held_out) else study.trained[len(study.trained) // 2])
    length = int(study.ends[episode] - study.starts[episode])
    frames = study.frames(np.array([episode]), length)
    at = np.arange(0, length, spec.n_action_steps)
    chunks = propose(study.policy, {name: values[at] for name, values in frames.observations.items()}, 1)[:, 0]
    names = spec.action.names[:MOST]
    plot: Plot
    plot, first = axes(8.4, 1.15 * len(names))
    plot.delaxes(first)
    for i, name in enumerate(names):
        ax = plot.add_subplot(len(names), 1, i + 1)
        ax.set_facecolor("none")
        for side in ("top", "right", "left", "bottom"):
            ax.spines[side].set_visible(False)
        ax.tick_params(colors=SOFT, length=0, labelsize=8, labelbottom=i == len(names) - 1)
        ax.plot(np.arange(length) / spec.rate_hz, frames.actions[:, 0, i], color=INK, linewidth=1.2)
        for k, t in enumerate(at.tolist()):
            steps = np.arange(t, min(t + spec.n_action_steps, length))
            ax.plot(steps / spec.rate_hz, chunks[k, : len(steps), i], color=SERIES[0], linewidth=1.6)
        ax.set_ylabel(name, color=SOFT, fontsize=8)
    plot.axes[-1].set_xlabel("s", color=SOFT, fontsize=8)
    return svg(plot)
