"""Values that are not finite: NaN and infinity, in any column of real numbers."""

from __future__ import annotations

import numpy as np

from data.checks import Finding, Recording, count

KEPT = 0.75  # of an episode: if that much is left between bad frames at its ends, they are cut off; else the episode goes


def check(recording: Recording) -> list[Finding]:
    found = []
    for name in recording.columns:
        values = recording.raw(name)
        if values.dtype.kind != "f" or np.isfinite(values).all():
            continue
        bad = ~np.isfinite(values)
        rows = np.flatnonzero(bad.any(1))
        elements = tuple(np.flatnonzero(bad.any(0)).tolist())
        episode, frame = recording.place(int(rows[0]))
        episodes = recording.episodes_of(rows)
        number = int(bad.sum())
        what = f"{count(number, 'value')} of {recording.say(name, elements)} {'is' if number == 1 else 'are'} not finite"
        what += f", the first is {values[rows[0]][bad[rows[0]]][0]}"
        found.append(
            Finding(
                "finite",
                "error",
                f"{what}; in {count(len(episodes), 'episode', len(recording.numbers))}",
                "one of them in a batch makes every weight of a network NaN",
                _mend(recording, rows, episodes),
                name,
                elements,
                episode,
                frame,
                episodes,
            )
        )
    return found


def _mend(recording: Recording, rows: np.ndarray, episodes: tuple[int, ...]) -> str:
    frames = {}
    for episode in episodes:
        i = int(np.searchsorted(recording.numbers, episode))
        length = int(recording.lengths[i])
        bad = rows[(rows >= recording.starts[i]) & (rows < recording.ends[i])] - recording.starts[i]
        edges = np.concatenate([[-1], bad, [length]])
        longest = int(np.argmax(np.diff(edges)))
        start, stop = int(edges[longest]) + 1, int(edges[longest + 1])
        if stop - start < KEPT * length:
            return recording.delete(episodes)
        frames[episode] = f"[{start}, {stop}]"
    return recording.edit("trim", frames="{" + ", ".join(f"{episode}: {kept}" for episode, kept in frames.items()) + "}")
