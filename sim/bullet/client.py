"""PyBullet itself. It prints a line into standard error when it is imported: that is kept from whoever reads there."""

from __future__ import annotations

import importlib
import os
from typing import Any

from data.errors import ConfigError


def _quietly() -> Any:
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        return importlib.import_module("pybullet")
    except ImportError as error:
        raise ConfigError("engine=pybullet needs the package pybullet: pip install 'waldo[pybullet]'") from error
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


pybullet = _quietly()
