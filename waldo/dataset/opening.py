"""Opening a recording only to look at it: one that does not say its frame rate is let through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.errors import ConfigError, DatasetError
from data.lookup import find
from data.source import Given, Source, open_source


@dataclass(frozen=True)
class _AnyRate(Given):
    def need_fps(self, stored: float, root: Path) -> float:
        return stored or 1.0


def look_at(path: str, fps: float) -> tuple[Source, bool]:
    """The recording at a path or of a name, and whether its frame rate is known.

    fps   [Hz] as the user says it; 0 where nothing was said. Raises DatasetError, and ConfigError for a rate below 0.
    """
    if fps < 0:
        raise ConfigError(f"fps={fps:g} is a rate; it has to be positive, or 0 where the recording says it")
    place = find(path)
    try:
        return open_source(place, Given(fps=fps)), True
    except DatasetError:
        if fps:
            raise
    return open_source(place, _AnyRate()), False  # what else was wrong with it is raised again
