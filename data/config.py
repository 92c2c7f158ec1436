"""From a YAML node with `_target_` to an object, its options checked against the `Config` dataclass beside the class.

`hydra.utils.instantiate` alone checks neither types nor unknown keys. Here a class says `Config = SomeDataclass`
and takes `config` first; a plain function takes its options as keywords and is bound to them.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from data.errors import ConfigError, did_you_mean


def locate(target: str, trusted: tuple[str, ...] | None = None) -> Any:
    """The class or function at a dotted path. `trusted`: the packages that may be imported, None for any.

    Raises ConfigError if it is not there or not trusted.
    """
    package = target.split(".")[0]
    if trusted is not None and package not in trusted:
        raise ConfigError(
            f"{target} is not built from a file that came with a checkpoint; allowed packages: {', '.join(trusted)}. "
            f"If you trust that code, say trust={package}"
        )
    parts = target.split(".")
    for cut in range(len(parts) - 1, 0, -1):  # a.b.Class.method: the longest prefix that is a module
        module_name, names = ".".join(parts[:cut]), parts[cut:]
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and not f"{module_name}.".startswith(f"{error.name}."):
                raise ConfigError(f"{target} needs the package {error.name!r}, which is not installed") from error
            continue
        for name in names:
            found = getattr(found, name, None)
            if found is None:
                raise ConfigError(f"_target_ {target!r}: {module_name} has no {'.'.join(names)}")
        home = str(getattr(found, "__module__", "")).split(".")[0]
        if trusted is not None and home not in trusted:  # policies.train.os.system is not ours because we import os
            raise ConfigError(f"_target_ {target!r} is borrowed from elsewhere; allowed packages: {', '.join(trusted)}")
        return found
    raise ConfigError(f"_target_ {target!r}: there is no such module")


def typed(schema: type, options: Mapping[str, Any], where: str) -> Any:
    """An instance of the dataclass `schema` with `options` laid over its defaults.

    Raises ConfigError naming the key, what was found and what is allowed.
    """
    fields = [f.name for f in dataclasses.fields(schema)]
    for key in options:
        if key not in fields:
            raise ConfigError(f"{where}: unknown option {key!r}; {did_you_mean(str(key), fields)}")
    for key, value in options.items():
        try:
            OmegaConf.merge(OmegaConf.structured(schema), {key: value})
        except OmegaConfBaseException as error:
            kind = {f.name: f.type for f in dataclasses.fields(schema)}[key]
            raise ConfigError(f"{where}: {key}={value!r} does not fit; wanted {kind}") from error
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), dict(options)))
    except (ConfigKeyError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"{where}: {str(error).splitlines()[0]}") from error


def build(node: DictConfig | Mapping[str, Any], *args: Any, trusted: tuple[str, ...] | None = None, **context: Any) -> Any:
    """The object that `node` describes.

    node      options plus `_target_`
    args, context   what the caller adds: passed after `config` to a class, bound beside the options to a function
    """
    raw: Any = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else dict(node)
    options: dict[str, Any] = {str(key): value for key, value in raw.items()}
    if "_target_" not in options:
        raise ConfigError(f"a config needs `_target_`, the dotted path of a class; found keys: {', '.join(map(str, options))}")
    target = options.pop("_target_")
    found = locate(target, trusted)
    schema: Any = getattr(found, "Config", None)
    if inspect.isclass(found) and schema is not None:
        make: Any = found
        return make(typed(schema, options, target), *args, **context)
    allowed = [p for p in inspect.signature(found).parameters if p not in context]
    for key in options:
        if key not in allowed:
            raise ConfigError(f"{target}: unknown option {key!r}; {did_you_mean(str(key), allowed)}")
    return found(*args, **options, **context) if inspect.isclass(found) else functools.partial(found, *args, **options, **context)
