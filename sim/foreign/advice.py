"""What a user is told when an environment cannot be had: which one, in which interpreter, what is wrong, and how to mend it."""

from __future__ import annotations

import difflib

from data.errors import ConfigError, did_you_mean
from sim.foreign.maker import Refused

MOST_NAMES = 30  # that one message lists


def explained(error: Refused, env: str, python: str, extra: str, requirements: str) -> ConfigError:
    """extra, requirements: what installs the environment here, and in another interpreter."""
    found = error.answer
    if "SyntaxError" in found["why"] and "child.py" in found["why"]:
        return ConfigError(f"environment {env}: {python} is too old; Python 3.8 or later is needed")
    text = f"environment {env}{f' (in {python})' if python else ''}: {found['why']}"
    if found["missing"] and python:
        text += f": {python} -m pip install {f'-r {requirements}' if requirements else found['missing']}"
    elif found["missing"] and requirements:
        text += f": make a venv of its own, {requirements} says what belongs in it, and give its Python, env.python=.../bin/python"
    elif found["missing"]:
        text += f": pip install 'waldo[{extra}]'" if extra else f": install {found['missing']}"
    if found["asked"]:
        text += f"; {_names(found['asked'], found['allowed'])}"
    return ConfigError(text)


def _names(asked: str, allowed: list[str]) -> str:
    if len(allowed) <= MOST_NAMES:
        return did_you_mean(asked, allowed)
    close = difflib.get_close_matches(asked, allowed, 10, 0.3)
    return f"of the {len(allowed)} that there are, the closest: {', '.join(close) or ', '.join(allowed[:10])}"
