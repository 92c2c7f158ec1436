"""The commands that fit a recording: what `waldo data info` ends with."""

from __future__ import annotations

import shlex

from data.lerobot import layout
from data.source import Header
from waldo import manual


def next_steps(path: str, header: Header, fps: float, rate_is_known: bool) -> list[tuple[str, str]]:
    """(command, what it does), ready to be typed; only commands that exist.

    path, fps   as the user gave them
    """
    native = header.format == f"LeRobotDataset {layout.VERSION}"
    rate = f" fps={fps:g}" if fps else ""
    name = header.root.name.partition(".")[0] or "mine"
    wanted = {
        "view": ("", "look at it"),
        "doctor": ("", "is anything wrong with it?"),
        "stats": ("", "exact statistics, compared with the stored ones"),
    }
    if not native:
        missing = "" if rate_is_known else "; add its rate, fps=..."
        wanted["convert"] = (f" dataset={shlex.quote(_value(f'datasets/{name}'))}", f"make it a LeRobotDataset v3.0{missing}")
    known = manual.actions("data")
    place = shlex.quote(f"./{path}" if "=" in path and "/" not in path else path)
    steps = [(f"waldo data {action} {place}{rest}{rate}", what) for action, (rest, what) in wanted.items() if action in known]
    seen = [key for key, f in header.features.items() if key.startswith("observation.") and f["dtype"] not in ("video", "image", "string")]
    if native and "action" in header.features and seen:
        options = shlex.join([f"data.path={_value(path)}", f"data.observations=[{','.join(seen)}]"])
        steps.append((f"waldo train {options}", "learn from it"))
    return steps


def _value(path: str) -> str:
    """As the value of an option, where hydra reads it: quoted if it holds anything but the usual."""
    plain = path.replace("/", "").replace("_", "").replace("-", "").replace(".", "").isalnum() and not path.isdigit()
    return path if plain else "'" + path.replace("'", "\\'") + "'"
