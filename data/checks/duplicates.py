"""Episodes that are there twice: the same observations and actions to the bit, or the same actions replayed."""

from __future__ import annotations

import hashlib

import numpy as np

from data.checks import Finding, Recording, count


def check(recording: Recording) -> list[Finding]:
    names = recording.steered
    observed = [name for name in names if name.startswith("observation.")]
    acted = [name for name in names if name not in observed]
    if not acted:
        return []
    actions = _hashes(recording, acted)
    both = [a + b for a, b in zip(actions, _hashes(recording, observed), strict=True)]
    found = []
    copies = _copies(both)
    if copies:
        episodes = tuple(int(recording.numbers[later]) for later in copies)
        first = int(recording.numbers[copies[min(copies)]])
        text = f"{count(len(copies), 'episode')} a copy of another: episode {episodes[0]} is episode {first}, value for value"
        why = "copies count twice in training, and leak from the training set into the validation set"
        found.append(Finding("duplicates", "warning", text, why, recording.delete(episodes), "", (), episodes[0], 0, episodes))
    replayed = {later: earlier for later, earlier in _copies(actions).items() if later not in copies}
    if replayed and not _all_still(recording, acted):
        episodes = tuple(int(recording.numbers[later]) for later in replayed)
        first = int(recording.numbers[replayed[min(replayed)]])
        text = f"{count(len(replayed), 'episode')} with the actions of another: episode {episodes[0]} repeats those of episode {first}"
        why = "a replay shows no new decision; it is one demonstration seen twice"
        found.append(Finding("duplicates", "note", text, why, recording.delete(episodes), "", (), episodes[0], 0, episodes))
    return found


def _hashes(recording: Recording, names: list[str]) -> list[bytes]:
    """Per episode the hash of all its rows."""
    digests = [hashlib.blake2b(digest_size=16) for _ in recording.numbers]
    for name in names:
        values = recording.raw(name)
        for digest, start, end in zip(digests, recording.starts.tolist(), recording.ends.tolist(), strict=True):
            digest.update(np.ascontiguousarray(values[start:end]).view(np.uint8).data)
    return [digest.digest() for digest in digests]


def _copies(hashes: list[bytes]) -> dict[int, int]:
    """Later position -> the first one with the same hash, in order."""
    first: dict[bytes, int] = {}
    return {i: first[key] for i, key in enumerate(hashes) if first.setdefault(key, i) != i}


def _all_still(recording: Recording, names: list[str]) -> bool:
    """Actions that are constant throughout are equal by nature."""
    return all(np.ptp(recording.column(name), 0).max() == 0 for name in names)
