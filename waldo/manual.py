"""The text of `--help`: read from the files themselves, so that it is never out of date and never imports anything.

The manual of a command is the docstring of `waldo/<command>.py`; its options are `configs/<command>.yaml` as written,
comments included; the choices of a group are the YAML files in `configs/<group>/`. A command of two words, `waldo data info`,
is a file in a folder: `dataset/info`, with the same two endings in the same two places.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from data.errors import ConfigError, did_you_mean
from waldo.options import options_of

COMMANDS = Path(__file__).resolve().parent
CONFIGS = COMMANDS.parent / "configs"
# The way through the stack; others follow by name.
ORDER = (
    *("demo", "collect", "data", "train", "refine", "plan", "evaluate", "compare", "leaderboard", "diagnose", "generalise", "scale"),
    *("export", "run", "gallery", "bench"),
)
# The first word of a command of two words -> the folder of its actions. configs/data and data/ are taken by other things.
FAMILIES = {"data": "dataset"}
LOOK, MEND = ("info", "view", "plot", "stats", "doctor"), ("repair", "merge", "split", "delete", "trim", "relabel", "compact")
ACTIONS = {"data": (*LOOK, "convert", "export", *MEND, "pull", "push")}  # as they are listed; others follow by name
# The options that words without `=` stand for, in their order; other commands have `path`, or `paths` for several.
BARE = {"bench": ("name",), "compare": ("reference", "candidate")}
GATES = ("compare",)  # their exit statuses 0, 1 and 2 are a verdict; see waldo/explain.py for their errors
_DEFAULT = re.compile(r"^\s*-\s*(?:optional\s+|override\s+)?/?([\w/]+(?:@[\w.]+)?)\s*:\s*(\S+)")


def commands() -> list[str]:
    """A command of one word is a file waldo/<name>.py with its configs/<name>.yaml."""
    return _ordered(_complete(""), ORDER)


def actions(family: str) -> list[str]:
    """The second words of the commands that begin with `family`: waldo/<folder>/<name>.py with configs/<folder>/<name>.yaml."""
    return _ordered(_complete(FAMILIES[family]), ACTIONS.get(family, ()))


def find(words: list[str]) -> tuple[str, list[str]]:
    """(command, the words after it). A command is named by its file below waldo/, without the ending: `train`, `dataset/info`.

    A family alone gives its folder and no words. Raises ConfigError for a command that does not exist.
    """
    first, *rest = words
    if first not in FAMILIES:
        if first not in commands():
            raise ConfigError(f"there is no command {first!r}; {did_you_mean(first, [*commands(), *FAMILIES])}")
        return first, rest
    if not rest:
        return FAMILIES[first], []
    if rest[0] not in actions(first):
        raise ConfigError(f"waldo {first} ACTION: there is no action {rest[0]!r}; {did_you_mean(rest[0], actions(first))}")
    return f"{FAMILIES[first]}/{rest[0]}", rest[1:]


def spoken(command: str) -> str:
    """As it is typed: `data info` for `dataset/info`."""
    folder, _, action = command.rpartition("/")
    return " ".join([*(word for word, name in FAMILIES.items() if name == folder), action])


def bare_options(command: str) -> tuple[str, ...]:
    """The options that words without `=` stand for: `paths` takes any number of them, others one each; () where every word needs its key."""
    if command in BARE:
        return BARE[command]
    keys = re.findall(r"^(paths?):", (CONFIGS / f"{command}.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    return tuple(sorted(keys)[-1:])


def is_gate(words: Sequence[str]) -> bool:
    """Whether these words, as typed after `waldo`, begin a command whose exit status is a verdict."""
    named = (word for before, word in zip(["", *words], words) if not word.startswith("-") and before != "--config-dir")
    return next(named, "") in GATES


def docstring(command: str) -> str:
    """The manual of a command; its first line is the summary."""
    tree = ast.parse((COMMANDS / f"{command}.py").read_text(encoding="utf-8"))
    return ast.get_docstring(tree) or ""


def benchmarks() -> dict[str, str]:
    """Name -> one line, of everything that `waldo bench` can measure."""
    names = sorted(path.stem for path in (COMMANDS / "benchmarks").glob("*.py") if path.stem != "__init__")
    return {name: _first_line(docstring(f"benchmarks/{name}")) for name in names}


def overview() -> str:
    """What `waldo --help` prints."""
    files = {name: name for name in commands()} | {word: f"{folder}/__init__" for word, folder in FAMILIES.items() if actions(word)}
    names = _ordered(list(files), ORDER)
    width = max(map(len, names), default=0)
    rows = [f"  {name:<{width}}  {_first_line(docstring(files[name]))}" for name in names]
    return "\n".join(
        [
            "waldo: robot policies from demonstrations, refined by offline RL, steered by a critic, run on an arm.",
            "",
            "usage: waldo COMMAND [option=value ...]",
            "",
            *rows,
            "",
            "  waldo COMMAND --help    what it does, its options, and what can be chosen",
            "  waldo --version",
            "",
            "Start with `waldo demo`: the whole way in a few minutes, with a report at the end.",
        ]
    )


def family_page(folder: str) -> str:
    """What `waldo data` prints: its actions, one line each."""
    family = next(word for word, name in FAMILIES.items() if name == folder)
    width = max(map(len, actions(family)), default=0)
    rows = [f"  {name:<{width}}  {_first_line(docstring(f'{folder}/{name}'))}" for name in actions(family)]
    return "\n".join(
        [
            docstring(f"{folder}/__init__").rstrip(),
            "",
            f"usage: waldo {family} ACTION [option=value ...]",
            "",
            *rows,
            "",
            f"  waldo {family} ACTION --help    what it does, its options, and what can be chosen",
        ]
    )


def page(command: str, words: list[str], config_dir: Path | None = None) -> str:
    """What `waldo COMMAND --help` prints. `words`: the options given beside --help; chosen ones are explained in full."""
    text = (CONFIGS / f"{command}.yaml").read_text(encoding="utf-8")
    chosen = dict(word.split("=", 1) for word in words if "=" in word)
    groups = defaults(command)
    name, bare = spoken(command), bare_options(command)
    places = "".join(" PATH PATH ..." if option == "paths" else f" {option.upper()}" for option in bare)
    sections = [docstring(command).rstrip(), "", f"usage: waldo {name}{places} [option=value ...] [-m]"]
    if bare in (("path",), ("paths",)):
        sections += ["", f"A PATH stands for {bare[0]}=, and is taken as typed; write ./a=b where it holds an equals sign."]
    options = _indented(_without_defaults(text))
    if options:
        sections += ["", "Options, with their defaults:", "", *options]
    if groups:
        sections += ["", "Choices (* = taken when nothing is said):"]
        for key, default in groups.items():
            sections += ["", *_choices(key, default, config_dir)]
            if key in chosen:
                sections += _chosen_options(key, chosen[key], config_dir)
        example = next(iter(groups))
        sections += ["", f"  `waldo {name} {example}=NAME --help` lists the options of that choice."]
    if command == "bench":
        sections += ["", "Benchmarks:", "", *(f"  {name:<16}  {summary}" for name, summary in benchmarks().items())]
    sections += [
        "",
        "Always available:",
        "",
        f"  out=FOLDER        where everything goes (default: outputs/{name.replace(' ', '_')}/<time>, unless set above)",
        "  -m                run every combination of key=a,b lists, one after the other",
        "  --cfg             print the complete configuration and stop",
        "  --config-dir DIR  look for YAML files in DIR as well",
        "  --traceback       show where in the code an error came from (or WALDO_TRACEBACK=1)",
    ]
    return "\n".join(sections)


def defaults(command: str) -> dict[str, str]:
    """Group -> default choice, from the `defaults:` list of a command's YAML. The format is kept to `- group: choice`."""
    text = (CONFIGS / f"{command}.yaml").read_text(encoding="utf-8")
    matches = (_DEFAULT.match(line) for line in _block(text))
    return {match[1]: match[2] for match in matches if match}


def choices(group: str, config_dir: Path | None = None) -> dict[str, Path]:
    """Name -> YAML file of everything that can be chosen for a group, e.g. `policy` or `policy@student`."""
    folder = group.partition("@")[0]
    files = [p for root in (config_dir, CONFIGS) if root is not None for p in sorted((root / folder).glob("*.yaml"))]
    return {path.stem: path for path in reversed(files)}


def _block(text: str) -> list[str]:
    """The lines of the top-level `defaults:` list."""
    lines = text.splitlines()
    if "defaults:" not in lines:
        return []
    body = lines[lines.index("defaults:") + 1 :]
    end = next((i for i, line in enumerate(body) if line and not line.startswith((" ", "-"))), len(body))
    return body[:end]


def _complete(folder: str) -> list[str]:
    """The names in a folder that have both files."""
    files = (CONFIGS / folder).glob("*.yaml")
    return [path.stem for path in files if (COMMANDS / folder / path.name).with_suffix(".py").is_file()]


def _ordered(names: list[str], order: tuple[str, ...]) -> list[str]:
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def _without_defaults(text: str) -> str:
    lines, block = text.splitlines(), _block(text)
    if "defaults:" in lines:
        start = lines.index("defaults:")
        del lines[start : start + 1 + len(block)]
    return "\n".join(lines)


def _indented(text: str) -> list[str]:
    return ["  " + line if line else "" for line in text.strip().splitlines()]


def _choices(key: str, default: str, config_dir: Path | None) -> list[str]:
    found = choices(key, config_dir)
    width = max(map(len, found), default=0)
    rows = [f"  {'*' if name == default else ' '} {name:<{width}}  {_remark(path)}".rstrip() for name, path in sorted(found.items())]
    return [f"  {key}=", *["  " + row for row in rows]]


def _chosen_options(key: str, choice: str, config_dir: Path | None) -> list[str]:
    path = choices(key, config_dir).get(choice)
    if path is None:
        return []
    target = re.search(r"^_target_:\s*(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    options = options_of(target[1]) if target else None
    rows = [
        "",
        f"  {key}={choice} is {target[1] if target else path.name}; its file says:",
        "",
        *_indented(path.read_text(encoding="utf-8")),
    ]
    if options:
        width = max(len(f"{key}.{o.name}={o.default}") for o in options)
        rows += ["", "  and it takes:", ""]
        rows += [f"  {f'{key}.{o.name}={o.default}':<{min(width, 48)}}  {o.comment or o.type}".rstrip() for o in options]
    return rows


def _remark(path: Path) -> str:
    """The first comment line of a YAML file says what the thing is."""
    first = path.read_text(encoding="utf-8").lstrip().splitlines()[:1]
    return first[0].lstrip("# ") if first and first[0].startswith("#") else ""


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].strip() if text.strip() else ""
