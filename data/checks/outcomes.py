"""Rewards and ends that contradict each other: ends before the last frame, two kinds of end at once, success without reward."""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording, count

ENDS = ("next.terminated", "next.truncated", "next.done")


def check(recording: Recording) -> list[Finding]:
    found = []
    flags = {name: recording.column(name)[:, 0] > 0.5 for name in (*ENDS, "next.success") if name in recording.columns}
    last = np.zeros(int(recording.ends[-1]), bool)
    last[recording.ends - 1] = True
    for name in (n for n in ENDS if n in flags):
        early = np.flatnonzero(flags[name] & ~last)
        if len(early):
            text = f"{name} is true before the last frame of its episode, {count(len(early), 'time')}"
            why = "values are not bootstrapped past an end: offline RL learns that nothing comes after it"
            found.append(_finding(recording, "warning", name, text, why, early, _cut(recording, early)))
    if "next.terminated" in flags and "next.truncated" in flags:
        both = np.flatnonzero(flags["next.terminated"] & flags["next.truncated"])
        if len(both):
            text = f"next.terminated and next.truncated are both true in {count(len(both), 'frame')}"
            why = "the one says that no value follows, the other that it does; programs differ in which one wins"
            mend = "correct it where it is recorded; waldo goes by next.terminated"
            found.append(_finding(recording, "warning", "next.truncated", text, why, both, mend))
        neither = np.flatnonzero(last & ~flags["next.terminated"] & ~flags["next.truncated"])
        if len(neither):
            text = f"{count(len(neither), 'episode', len(recording.numbers))} neither terminated nor truncated in the last frame"
            why = "where one episode ends and the next begins is only known from its number; it is taken as truncated"
            mend = "nothing to do for waldo"
            found.append(_finding(recording, "note", "next.terminated", text, why, neither, mend))
    return found + _successes(recording, flags.get("next.success")) + _rewards(recording, flags.get("next.success"))


def _cut(recording: Recording, early: np.ndarray) -> str:
    """The command that ends each episode with the first of its ends."""
    ends: dict[int, int] = {}
    for row in early.tolist():
        episode, frame = recording.place(row)
        ends.setdefault(episode, frame + 1)
    return recording.edit("trim", frames="{" + ", ".join(f"{episode}: [0, {stop}]" for episode, stop in ends.items()) + "}")


def _successes(recording: Recording, success: np.ndarray | None) -> list[Finding]:
    """A success that does not last to the end of its episode."""
    if success is None:
        return []
    reached = np.logical_or.reduceat(success, recording.starts)
    lost = np.flatnonzero(reached & ~success[recording.ends - 1])
    if not len(lost):
        return []
    rows = recording.ends[lost] - 1
    text = f"next.success is reached and lost again in {count(len(lost), 'episode', len(recording.numbers))}"
    why = "whether they count as a success depends on the program: waldo counts them, a look at the last frame does not"
    return [_finding(recording, "note", "next.success", text, why, rows, recording.delete(recording.episodes_of(rows)))]


def _rewards(recording: Recording, success: np.ndarray | None) -> list[Finding]:
    if "next.reward" not in recording.columns:
        return []
    reward = recording.column("next.reward")[:, 0].astype(np.float64)
    name, mend = "next.reward", "correct it where it is recorded, or train with a reward made of next.success"
    if np.ptp(reward) == 0:
        text = f"the reward is {reward[0]:.4g} in every frame"
        return [Finding("outcomes", "note", text, "offline RL cannot tell good from bad", mend, name)]
    if success is None or success.all() or not success.any():
        return []
    best = np.maximum.reduceat(reward, recording.starts)
    reached = np.logical_or.reduceat(success, recording.starts)
    # The best reward of any failure is what a success should reach at least, in every scheme from sparse to dense.
    unpaid = np.flatnonzero(reached & (best <= 0) & (reward.max() > 0))
    if len(unpaid):
        rows = np.array([int(recording.starts[i] + np.argmax(success[recording.starts[i] : recording.ends[i]])) for i in unpaid])
        text = f"{count(len(unpaid), 'episode')} succeeded without a reward, in a recording that gives up to {reward.max():.4g}"
        return [_finding(recording, "warning", name, text, "a critic learns that success is worth nothing", rows, mend)]
    paid = np.flatnonzero(~reached & (best >= np.min(best[reached], initial=np.inf)) & _is_sparse(reward))
    if len(paid):
        rows = np.array([int(recording.starts[i] + np.argmax(reward[recording.starts[i] : recording.ends[i]])) for i in paid])
        text = f"{count(len(paid), 'episode')} without success got as much reward as one with it"
        return [_finding(recording, "warning", name, text, "a critic learns that failure is as good", rows, mend)]
    return []


def _is_sparse(reward: np.ndarray) -> bool:
    """One value for success and one for all else; a dense reward may be high on the way to a failure."""
    return len(np.unique(reward)) == 2


def _finding(recording: Recording, severity: str, name: str, text: str, why: str, rows: np.ndarray, mend: str) -> Finding:
    episode, frame = recording.place(int(rows[0]))
    return Finding("outcomes", severity, text, why, mend, name, (), episode, frame, recording.episodes_of(rows))
