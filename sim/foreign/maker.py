"""Makes environments from an id, or through a hook. Also runs in other interpreters, as rows.py does.

A hook is a Python file with any of these functions:

    make(id, kwargs) -> gymnasium.Env          instead of gymnasium.make
    register()                                 before the first environment is made
    ids() -> list[str]                         what `make` takes, for the error message
    render(env, camera, height, width)         (height, width, 3) uint8, as fast as it can: small, without shadows
    expert(env, rng) -> callable(obs)          the scripted expert of the episode that was just reset: raw observation -> action
    success(env, obs, reward, info) -> bool
    describe(env) -> dict                      whatever JSON can hold; GymVecEnv.about keeps it, `instruction` becomes its own
"""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class Refused(Exception):
    """why: what is wrong. missing: a package that is not there. asked, allowed: a name that is unknown, and those that are known."""

    def __init__(self, why: str, missing: str = "", asked: str = "", allowed: Iterable[str] = ()) -> None:
        super().__init__(why)
        self.answer: dict[str, Any] = {"why": why, "missing": missing, "asked": asked, "allowed": sorted(allowed)}


def told(error: BaseException) -> str:
    """One line: the class, the message, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'without a message'}{place}"


class Maker:
    """plan: id, package, kwargs, max_steps, hook (see sim.foreign.plan). Raises Refused if something is not installed."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.hook: Any = None
        try:
            self.gymnasium: Any = importlib.import_module("gymnasium")
            if plan["package"]:
                importlib.import_module(plan["package"])
            if plan["hook"]:
                self.hook = _load(Path(plan["hook"]))
                getattr(self.hook, "register", _nothing)()
        except ModuleNotFoundError as error:
            raise Refused(f"it needs the package {error.name!r}, which is not installed", missing=str(error.name)) from error
        except Exception as error:  # anybody's code, run by its import
            raise Refused(f"{plan['package'] or plan['hook']} cannot be imported: {told(error)}") from error
        if plan["expert"] and not hasattr(self.hook, "expert"):
            raise Refused(f"expert=hook, but the hook {plan['hook'] or '(none)'} has no function `expert`")

    def make(self) -> Any:
        """Raises Refused."""
        name, kwargs = self.plan["id"], dict(self.plan["kwargs"])
        if hasattr(self.hook, "ids"):
            known = list(self.hook.ids())
            if name not in known:
                raise Refused(f"its hook knows no id {name!r}", asked=name, allowed=known)
        try:
            if hasattr(self.hook, "make"):
                return self.hook.make(name, kwargs)
            kwargs = {"max_episode_steps": self.plan["max_steps"], "disable_env_checker": True, **kwargs}
            return self.gymnasium.make(name, **kwargs)
        except self.gymnasium.error.UnregisteredEnv as error:
            raise Refused(f"no environment is registered as {name!r}", asked=name, allowed=self._registered()) from error
        except ModuleNotFoundError as error:
            raise Refused(f"it needs the package {error.name!r}, which is not installed", missing=str(error.name)) from error
        except Exception as error:  # anybody's code
            raise Refused(f"it cannot be made with {kwargs}: {told(error)}") from error

    def _registered(self) -> list[str]:
        """The ids of the package, or else of the id's namespace, or else all."""
        registry = self.gymnasium.registry
        package, (space, slash, _) = self.plan["package"], self.plan["id"].partition("/")
        modules = {name: getattr(spec.entry_point, "__module__", spec.entry_point) for name, spec in registry.items()}
        own = [name for name, module in modules.items() if package and str(module).split(":")[0].split(".")[0] == package.split(".")[0]]
        return own or [name for name in registry if slash and name.startswith(f"{space}/")] or list(registry)


def _nothing() -> None:
    """A hook without `register`."""


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"hook_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise Refused(f"the hook {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
