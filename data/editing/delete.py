"""Leaving episodes out: the others keep their frames, their videos are not touched."""

from __future__ import annotations

import os
from collections.abc import Sequence

from data.editing.opening import Place, applied
from data.editing.origin import Origin
from data.editing.plan import Plan, edit, whole
from data.source import Given


def delete(path: str | os.PathLike[str], episodes: Sequence[int], place: Place | None = None, given: Given | None = None) -> Plan:
    """A dataset without these episodes (negative numbers count from the end); those after them move up.

    A video that still holds other episodes stays as it is, with frames that nothing points at; `compact` takes them out.
    Raises DatasetError for an episode that is not there, or if none would be left.
    """

    def plan(origin: Origin) -> Plan:
        gone = set(origin.numbers(list(episodes), "episodes"))
        kept = [i for i in range(len(origin)) if i not in gone]
        return edit(origin, whole([origin], 0, kept), "delete", {"episodes": sorted(gone)})

    return applied(path, plan, place or Place(), given)
