"""From the words on the command line to a checked configuration, and to every job of a sweep.

Hydra composes; this file asks first whether each word makes sense, because only here are the allowed names known.
Keys under a node with `_target_` need not be in its YAML: the dataclass behind the target says what there is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, ValueType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from data.errors import ConfigError, did_you_mean
from waldo import manual
from waldo.cluster import launcher_error, launcher_words
from waldo.options import options_of

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list, [a,b]", dict: "a mapping, {a: b}"}
OPTION = re.compile(r"(?:\+\+?|~)?(?:hydra/[\w/]+|[\w.@-]+)=|~[\w.@]+$")  # what is key=value and no path with an equals sign in it
BUILTIN = {"bool": bool, "int": int, "float": float, "str": str}


def composed(command: str, words: list[str], config_dir: Path | None = None) -> DictConfig:
    """The configuration of one run.

    Raises ConfigError naming the word that is wrong and what is allowed.
    """
    with _hydra():
        overrides = _checked(command, words, config_dir, sweep=False)
        cfg = _compose(command, [*_search(config_dir), *overrides])
    check(command, cfg)
    return cfg


def sweep(command: str, words: list[str], config_dir: Path | None, out: Path, job: Callable[[DictConfig], Any]) -> None:
    """Run `job(cfg)` for every combination of the listed values, with the launcher and sweeper that hydra was told.

    Raises ConfigError as `composed` does, and WaldoError if the launcher lost a job.
    """
    with _hydra():
        overrides = _checked(command, words, config_dir, sweep=True)
        quiet = ["hydra/hydra_logging=none", "hydra/job_logging=none", "hydra.output_subdir=null", "hydra.mode=MULTIRUN"]
        folders = [f"hydra.sweep.dir={_quoted(str(out))}", "hydra.sweep.subdir=${hydra.job.num}"]
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        try:
            hydra.multirun(_name(command), job, [*_search(config_dir), *quiet, *folders, *launcher_words(words), *overrides])
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise ConfigError(_one_line(error)) from error
        except Exception as error:
            if (told := launcher_error(error)) is None:
                raise
            raise told from error
    (out / "multirun.yaml").unlink(missing_ok=True)


def check(command: str, cfg: DictConfig) -> None:
    """Give groups that were left out an empty `_target_`, resolve references, and compare every option with those of its target.

    Raises ConfigError for an option that its target does not have or that has the wrong type, and for a missing value.
    """
    try:
        missing = sorted(OmegaConf.missing_keys(cfg))
        if not missing:
            OmegaConf.resolve(cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(_one_line(error)) from error
    if missing:
        raise ConfigError(f"not said, and there is no default: {', '.join(f'{key}=...' for key in missing)}")
    with open_dict(cfg):
        for group in manual.defaults(command):
            node = cfg.get(group)
            # `steer=none`: commands ask `if cfg.steer.get("_target_")`, also when a sweep sets steer.x for the other choices
            if "@" not in group and (not node or ("_target_" not in node and "none" in manual.choices(group))):
                cfg[group] = {"_target_": ""}
    for path, node in _targets(cfg, ""):
        options = {option.name: option for option in options_of(node["_target_"]) or ()}
        for key in node if options else ():
            where = f"{path}.{key!s}" if path else str(key)
            if key != "_target_" and key not in options:
                raise ConfigError(f"{path}: unknown option {key!r}; {did_you_mean(str(key), options)}")
            if key != "_target_" and (kind := BUILTIN.get(options[key].type)):
                node[key] = _fit(where, _raw(node, key), kind, options[key].default)


class _hydra(initialize_config_dir):
    """Hydra, reading our configs, for the length of a `with`."""

    def __init__(self) -> None:
        super().__init__(config_dir=str(manual.CONFIGS), job_name="waldo", version_base="1.3")
        Plugins.instance().register(_Configs)
        GlobalHydra.instance().clear()  # the state before is kept by the base class and comes back; only its place of search is ours
        place = create_config_search_path(f"{_Configs.scheme()}://{manual.CONFIGS}")
        Hydra.create_main_hydra2(task_name="waldo", config_search_path=place)


class _Configs(FileConfigSource):
    """configs/ as hydra sees it. The folder of a family is no group: what lies in it is not chosen, and `dataset` is the name of an
    option in other commands. Its files are asked for as `dataset.info`, at the top, so that their options have no prefix."""

    @staticmethod
    def scheme() -> str:
        return "configs"

    def is_group(self, config_path: str) -> bool:
        return config_path not in manual.FAMILIES.values() and super().is_group(config_path)

    def is_config(self, config_path: str) -> bool:
        return super().is_config(_file(config_path))

    def load_config(self, config_path: str) -> ConfigResult:
        return super().load_config(_file(config_path))


def _name(command: str) -> str:
    return command.replace("/", ".")


def _file(name: str) -> str:
    folder, dot, action = name.partition(".")
    return f"{folder}/{action}" if dot and folder in manual.FAMILIES.values() else name


def _search(config_dir: Path | None) -> list[str]:
    if config_dir is None:
        return []
    if not config_dir.is_dir():
        raise ConfigError(f"--config-dir {config_dir} is not a folder")
    return [f"hydra.searchpath=[{_quoted('file://' + str(config_dir.resolve()))}]"]


def _compose(command: str, overrides: list[str], hydra_too: bool = False) -> DictConfig:
    try:
        return hydra_compose(_name(command), overrides, return_hydra_config=hydra_too)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(_one_line(error)) from error


def _checked(command: str, words: list[str], config_dir: Path | None, sweep: bool) -> list[str]:
    """The words as hydra wants them, each one known to make sense."""
    overrides = [_parsed(word) for word in _named(command, words)]
    groups = _compose(command, _search(config_dir), hydra_too=True).hydra.runtime.choices
    groups = [str(group) for group in groups if not str(group).startswith("hydra/")]
    chosen = []
    for override in overrides:
        if override.is_sweep_override() and not sweep:
            raise ConfigError(f"{override.input_line}: several values; add -m to run each of them, or write [a,b] for a list")
        if _key(override) in groups and not override.is_delete():
            _check_choice(override, config_dir)
            chosen += [f"{_key(override)}={value}" for value in list(_values(override))[-1:] if value is not None]
    base = _compose(command, [*_search(config_dir), *chosen])
    return [_checked_value(base, groups, override) for override in overrides]


def _named(command: str, words: list[str]) -> list[str]:
    """`waldo bench sim` is `waldo bench name=sim`: words without a key get theirs, and are taken as typed, whatever they hold."""
    options = manual.bare_options(command)
    if not options:
        return words
    bare = [word for word in words if not OPTION.match(word)]
    others = [_as_text(options, word) for word in words if OPTION.match(word)]
    if not bare:
        return others
    given = {word.partition("=")[0]: word for word in others if word.startswith(tuple(f"{option}=" for option in options))}
    left = [option for option in options if option not in given]
    if given and len(bare) > len(left):
        option, word = next(iter(given.items()))
        raise ConfigError(f"{option} is said twice: {bare[-1]} and {word}")
    if left == ["paths"]:
        return [f"paths=[{','.join(map(_quoted, bare))}]", *others]
    if len(bare) != len(left):
        raise ConfigError(
            f"{' and '.join(f'one {option}' for option in left)} {'is' if len(left) == 1 else 'are'} wanted, found "
            f"{' and '.join(map(repr, bare))}; options are written key=value, and what holds a space goes into quotes"
        )
    return [*(f"{option}={_quoted(word)}" for option, word in zip(left, bare, strict=True)), *others]


def _as_text(options: tuple[str, ...], word: str) -> str:
    """`path=2024` is a folder and no number; `paths=a` is a list of one."""
    option = word.partition("=")[0]
    if option not in options:
        return word
    override = _parsed(word)
    value = override.value()
    if override.is_sweep_override() or (isinstance(value, str | QuotedString) and option != "paths"):
        return word
    if isinstance(value, list):
        return f"{option}=[{','.join(_quoted(str(item)) for item in value)}]"
    text = _quoted(value if isinstance(value, str) else override.get_value_string())
    return f"paths=[{text}]" if option == "paths" else f"{option}={text}"


def _parsed(word: str) -> Override:
    if "=" not in word and not word.startswith("~"):
        raise ConfigError(f"{word!r}: options are written key=value")
    try:
        return OverridesParser.create().parse_overrides([word])[0]
    except HydraException as error:
        key, _, value = word.partition("=")
        raise ConfigError(
            f"{word} cannot be read; a value with special characters goes into two pairs of quotes: '{key}=\"{value}\"'"
        ) from error


def _key(override: Override) -> str:
    return override.key_or_group if override.package is None else f"{override.key_or_group}@{override.package}"


def _values(override: Override) -> Iterator[Any]:
    """The value, or each value of a sweep over a list; none for other sweeps."""
    if not override.is_sweep_override():
        yield override.value()
    elif override.value_type in (ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP):
        for value in override.sweep_iterator():
            yield value.text if isinstance(value, QuotedString) else value


def _check_choice(override: Override, config_dir: Path | None) -> None:
    group, allowed = _key(override), manual.choices(_key(override), config_dir)
    for value in _values(override):
        if str(value) not in allowed and value is not None:
            raise ConfigError(f"{group}={value}: there is no such {group}; {did_you_mean(str(value), allowed)}")


def _checked_value(base: DictConfig, groups: list[str], override: Override) -> str:
    """The word, made to add a key where the target has one that its YAML does not mention."""
    word, path = str(override.input_line), _key(override).split(".")
    if _key(override) in groups and override.value() is None and not override.is_sweep_override() and not override.is_delete():
        return f"~{_key(override)}"
    if _key(override) in groups or override.is_hydra_override() or override.is_delete():
        return word
    plain = word.lstrip("+")
    node, target = base, base.get("_target_")
    for depth, key in enumerate(path):
        if not isinstance(node, DictConfig):
            raise ConfigError(f"{plain}: {'.'.join(path[:depth])} is a value and has no option {key!r}")
        if key not in node.keys():  # noqa: SIM118  `in` denies keys whose value is ???
            if target is None:
                names = {str(name) for name in node} | ({*groups, "out"} if depth == 0 else set())
                at = f" in {'.'.join(path[:depth])}" if depth else ""
                raise ConfigError(f"unknown option {key!r}{at}; {did_you_mean(key, names)}")
            return f"++{plain}"  # `check` compares it with the options of the target
        child = _raw(node, key)
        if depth == len(path) - 1:
            break
        node = node.get(key)
        target = node.get("_target_", target) if isinstance(node, DictConfig) else target
    if target is not None or child is None or child == "???":
        return f"++{plain}"
    values = list(_values(override))
    for key in (key for value in values if isinstance(value, dict) and isinstance(child, dict) for key in value):
        if key not in child:
            raise ConfigError(f"unknown option {key!r} in {'.'.join(path)}; {did_you_mean(str(key), map(str, child))}")
    fitted = [_fit(".".join(path), value, type(child), repr(child)) for value in values]
    if [type(value) for value in values] == [type(value) for value in fitted]:
        return f"++{plain}"
    texts = [_quoted(override.get_value_string()) if isinstance(value, str) else str(value) for value in fitted]
    return f"++{'.'.join(path)}={','.join(texts)}"


def _raw(node: DictConfig, key: Any) -> Any:
    """The value as written, whether it is missing or an interpolation."""
    content = OmegaConf.to_container(node, resolve=False)
    assert isinstance(content, dict)
    return content[key]


def _fit(where: str, value: Any, kind: type, default: str) -> Any:
    """`value` as `kind`: a whole number for steps=1e4, text for name=007.

    Raises ConfigError if it cannot stand there.
    """
    if type(value) is kind or (isinstance(value, str) and value.startswith("${")):
        return value
    if (kind is int and type(value) is float and value.is_integer()) or (kind is float and type(value) is int):
        return kind(value)
    if kind is str and not isinstance(value, list | dict):
        return value if value is None else str(value)
    shown = "null" if value is None else value
    raise ConfigError(f"{where}={shown} does not fit; wanted {KINDS.get(kind, kind.__name__)}, the default is {default}")


def _targets(node: Any, path: str) -> Iterator[tuple[str, DictConfig]]:
    if not isinstance(node, DictConfig):
        return
    if node.get("_target_"):
        yield path, node
    for key in node:
        yield from _targets(node._get_node(key), f"{path}.{key!s}" if path else str(key))


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()


def _one_line(error: BaseException) -> str:
    """What hydra has to say, without the layout."""
    text = str(error) or str(error.__cause__ or type(error).__name__)
    return " ".join(line.strip() for line in text.splitlines() if line.strip() and "https://" not in line)
