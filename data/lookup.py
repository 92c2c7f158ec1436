"""Where recordings are looked for: by path, by name under $WALDO_DATASETS, by Hugging Face Hub id."""

from __future__ import annotations

import os
from pathlib import Path

from data.errors import DatasetError, did_you_mean
from data.lerobot import layout

DATASETS = "WALDO_DATASETS"


def datasets_folder() -> Path:
    """Where datasets are looked up by name: $WALDO_DATASETS, else ./datasets."""
    return Path(os.environ.get(DATASETS) or "datasets").expanduser()


def find(path_or_name: str | os.PathLike[str]) -> Path:
    """The folder or file of a recording, by path, by name under `datasets_folder()`, or by Hugging Face Hub id.

    Raises DatasetError that says where it looked and what is there.
    """
    from data import hub  # late: it imports this file, and huggingface_hub

    text = str(path_or_name)
    asked = hub.parse(text)
    if asked and text.startswith(hub.SCHEME):
        return hub.pull(*asked)
    base = datasets_folder()
    given = Path(path_or_name).expanduser()
    candidates = [given] if given.is_absolute() else [given, base / given]
    for place in candidates:
        if (place / layout.INFO).exists() or place.is_file():
            return place
    for place in candidates:
        if place.is_dir():
            return place  # opening it says what is wrong with it
    if asked and not given.parent.exists() and given.parts[0] != base.name:  # a mistyped path stays offline
        return hub.pull(*asked, looked=candidates)
    found = (p.parent.parent.relative_to(base) for p in base.glob(f"**/{layout.INFO}"))
    there = sorted(p.as_posix() for p in found if not any(part.startswith(".") for part in p.parts)) if base.is_dir() else []
    held = did_you_mean(str(path_or_name), there).replace("allowed", "datasets there") if there else "it holds no datasets"
    if not base.is_dir():
        held = f"{base} does not exist; set {DATASETS} to the folder of your datasets"
    raise DatasetError(f"no dataset {str(path_or_name)!r}: looked for {' and '.join(map(str, candidates))}; {held}")
