"""Which options a `_target_` takes, read from its source without importing it.

Importing a policy costs seconds (torch); `--help` and a mistyped option should cost milliseconds. What cannot be read
this way (a compiled module, a computed Config) gives None and is checked later, by `data.config.build`.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Option:
    """One field of a Config dataclass, or one parameter of a function: all as text."""

    name: str
    type: str
    default: str
    comment: str


@cache
def options_of(target: str) -> tuple[Option, ...] | None:
    """The options of the class or function at a dotted path; None where the source does not tell."""
    module, _, name = target.rpartition(".")
    source = _source(module)
    if source is None:
        return None
    try:
        tree, lines = ast.parse(source), source.splitlines()
    except SyntaxError:
        return None
    found = _definition(tree, name)
    if isinstance(found, ast.FunctionDef):
        return tuple(_parameters(found))
    if isinstance(found, ast.ClassDef):
        config = _config_class(tree, found)
        return None if config is None else tuple(_fields(tree, config, lines))
    return None


def _source(module: str) -> str | None:
    package, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(package)  # finds a top-level package without importing it
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        candidates = [Path(spec.origin)] if spec.origin else []
    else:
        places = [Path(place).joinpath(*rest) for place in spec.submodule_search_locations or ()]
        candidates = [p for place in places for p in (place.with_suffix(".py"), place / "__init__.py")]
    for path in candidates:
        if path.suffix == ".py" and path.is_file():
            return path.read_text(encoding="utf-8")
    return None


def _definition(tree: ast.Module | ast.ClassDef, name: str) -> ast.FunctionDef | ast.ClassDef | None:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
    return None


def _config_class(tree: ast.Module, owner: ast.ClassDef) -> ast.ClassDef | None:
    """The dataclass that `owner` names as `Config`: nested in it, or assigned from the same module."""
    nested = _definition(owner, "Config")
    if isinstance(nested, ast.ClassDef):
        return nested
    for node in owner.body:
        names = [t.id for t in node.targets if isinstance(t, ast.Name)] if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        if "Config" in names and isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Name):
            found = _definition(tree, node.value.id)
            return found if isinstance(found, ast.ClassDef) and _is_known(tree, found) else None
    return None


def _is_known(tree: ast.Module, config: ast.ClassDef) -> bool:
    """Whether every base of the dataclass is in the same module; a field could hide in one that is not."""
    return all(isinstance(base, ast.Name) and _definition(tree, base.id) for base in config.bases)


def _fields(tree: ast.Module, config: ast.ClassDef, lines: list[str]) -> Iterator[Option]:
    for base in config.bases:
        found = _definition(tree, base.id) if isinstance(base, ast.Name) else None
        if isinstance(found, ast.ClassDef):
            yield from _fields(tree, found, lines)
    for node in config.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            default = ast.unparse(node.value) if node.value else ""
            yield Option(node.target.id, ast.unparse(node.annotation), default, _comment(lines, node))


def _comment(lines: list[str], node: ast.AnnAssign) -> str:
    """The comment behind a field, or the comment lines above it."""
    last = node.end_lineno or node.lineno
    tail = lines[last - 1].encode()[node.end_col_offset or 0 :].decode()
    if "#" in tail:
        return tail.partition("#")[2].strip()
    above: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip().lstrip("# "))
    return " ".join(above)


def _parameters(function: ast.FunctionDef) -> Iterator[Option]:
    args = function.args
    positional = args.posonlyargs + args.args
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    for arg, default in [*zip(positional, defaults, strict=True), *zip(args.kwonlyargs, args.kw_defaults, strict=True)]:
        kind = ast.unparse(arg.annotation) if arg.annotation else ""
        yield Option(arg.arg, kind, ast.unparse(default) if default else "", "")
