"""A sweep's jobs in processes of Ray, on this machine or on a cluster: what Hydra's launcher is told before the user's own words.

    waldo evaluate -m shard=0/4,1/4,2/4,3/4 hydra/launcher=ray out=outputs/eval
    waldo evaluate -m ... hydra/launcher=ray hydra.launcher.ray.init.address=HOST:6379       on a cluster that runs

Ray starts a worker again whose process died, and an evaluation goes on where it stopped. Between its processes Ray pickles what it
sends; waldo reads nothing of it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from data.errors import ConfigError, WaldoError

LAUNCHER, ADDRESS = "hydra/launcher=", "hydra.launcher.ray.init.address="
# Ray's switch between a machine alone, where it listens on 127.0.0.1, and a cluster; elsewhere than on Linux "0" is its default.
ALONE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
TELLS = "RAY_USAGE_STATS_ENABLED"  # Ray reports its use to its makers unless told not to


def launcher_words(words: Sequence[str]) -> list[str]:
    """What goes before the words of a sweep with hydra/launcher=ray; nothing for other launchers.

    Raises ConfigError if Ray is not installed. Sets ALONE and TELLS in this process, which Ray reads when it is imported.
    """
    plain = [word.lstrip("+") for word in words]
    if f"{LAUNCHER}ray" not in plain:
        return []
    try:
        version("ray"), version("hydra-ray-launcher")
    except PackageNotFoundError as error:
        raise ConfigError(
            f"hydra/launcher=ray needs the package {error.name}: pip install ray, pip install --no-deps hydra-ray-launcher"
        ) from error
    os.environ.setdefault(TELLS, "0")
    if any(word.startswith(ADDRESS) and word not in (ADDRESS, f"{ADDRESS}null") for word in plain) or os.environ.get("RAY_ADDRESS"):
        return ["++hydra.launcher.ray.init.object_store_memory=null"]  # the launcher sets it, and a cluster has its own
    os.environ.setdefault(ALONE, "0")
    return ["++hydra.launcher.ray.init.include_dashboard=false"]


def launcher_error(error: Exception) -> WaldoError | None:
    """What a user reads for an error of Ray's; None for those of others."""
    if isinstance(error, ConnectionError):
        return ConfigError(f"{error}; a cluster that wants a token needs RAY_AUTH_MODE=token here, and its token in ~/.ray/auth_token")
    if type(error).__module__.partition(".")[0] != "ray":
        return None
    text = str(error).strip().splitlines()
    return WaldoError(
        f"Ray lost a job: {type(error).__name__}: {text[0] if text else ''} What was finished is kept; give the same command again and it goes on"
    )
