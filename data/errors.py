"""The errors a user can cause, one class per layer. `waldo` prints them as one line and exits with status 2.

Every message says what was wrong, what was found, and what is allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WaldoError(Exception):
    """Base of every error that is the input's fault and not a bug: printed without a traceback."""


class SpecError(WaldoError):
    """Two specifications (policy, environment, robot, dataset) do not fit together."""


class DatasetError(WaldoError):
    """A dataset is missing, empty, truncated, inconsistent, or holds values that cannot be used."""


class CheckpointError(WaldoError):
    """A checkpoint or artefact is missing, incomplete, altered, or made for something else."""


class ConfigError(WaldoError):
    """A configuration key, type or name is wrong."""


class RenderError(WaldoError):
    """No OpenGL library could be used for rendering."""


class SimulationError(WaldoError):
    """A simulation was asked for what it cannot do, or broke."""


class RobotError(WaldoError):
    """A robot, its driver or its description refused."""


def did_you_mean(found: str, allowed: Iterable[str]) -> str:
    """The tail of an error message: the allowed names, the closest one first."""
    names = sorted(allowed)
    close = difflib.get_close_matches(found, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(names) if names else '(none)'}"
