"""Measure how fast the stack is on this machine, beside the usual way to do the same thing.

`waldo bench` lists what can be measured, `waldo bench NAME` measures one, `waldo bench all` all of them. Each prints a
table, and the command ends with one line of JSON per benchmark:

    {"name", "value", "unit", "baseline", "baseline_value", "ratio", "n"}

`ratio` says how many times better than the baseline: above 1 is better, for times as well as for rates. The baseline
runs in the same process, right beside it, so that both see the same machine.

    waldo bench loop
    waldo bench all seconds=2
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import ConfigError, did_you_mean
from data.results import Figure, write_atomic
from waldo.manual import benchmarks

if TYPE_CHECKING:
    from omegaconf import DictConfig

LINES = "bench.jsonl"


@dataclass(frozen=True)
class Measurement:
    """What one benchmark found.

    headline         the figure that counts
    baseline         the same quantity, measured the usual way; its name says which way. None where that could not be measured here
    lower_is_better  True for times
    others           further rows for the table
    """

    headline: Figure
    baseline: Figure | None
    lower_is_better: bool = False
    others: Sequence[Figure] = ()

    @property
    def ratio(self) -> float | None:
        """How many times better than the baseline, None without one."""
        if self.baseline is None:
            return None
        a, b = (self.baseline, self.headline) if self.lower_is_better else (self.headline, self.baseline)
        return a.value / b.value if b.value else float("nan")

    def line(self, name: str) -> str:
        """The one line of JSON."""
        row: dict[str, Any] = {
            "name": name,
            "value": self.headline.value,
            "unit": self.headline.unit,
            "baseline": self.baseline and self.baseline.name,
            "baseline_value": self.baseline and self.baseline.value,
            "ratio": self.ratio,
            "n": self.headline.n,
        }
        return json.dumps(row)


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    """Raises ConfigError if there is no such benchmark."""
    known = list(benchmarks())
    if cfg.name not in [*known, "all"]:
        raise ConfigError(f"waldo bench NAME: there is no benchmark {cfg.name!r}; {did_you_mean(cfg.name, [*known, 'all'])}")
    figures, lines = [], []
    for name in known if cfg.name == "all" else [cfg.name]:
        module = importlib.import_module(f"waldo.benchmarks.{name}")
        found: Measurement = module.measure(cfg)
        rows = [row for row in (found.headline, found.baseline, *found.others) if row is not None]
        print(f"\n{name}: {(module.__doc__ or '').strip().splitlines()[0]}\n{table(rows, found)}")
        figures += [replace(row, name=f"{name}/{row.name}") for row in rows]
        lines.append(found.line(name))
    write_atomic(out / LINES, "\n".join(lines) + "\n")
    return figures


def last_line(out: Path) -> str:
    """What `waldo bench` prints after the folder."""
    return (out / LINES).read_text(encoding="utf-8").rstrip()


def table(rows: Sequence[Figure], found: Measurement) -> str:
    """The rows in columns, each with how many times better it is than the baseline."""
    cells = [("", "value", "unit", "95 % interval", "n", "better")]
    for row in rows:
        interval = f"{row.low:.4g} .. {row.high:.4g}" if row.low is not None and row.high is not None else ""
        ratio = replace(found, headline=row).ratio if found.baseline and row.unit == found.baseline.unit else None
        better = f"{ratio:.2f}x" if ratio is not None and row is not found.baseline else ""
        cells.append((row.name, f"{row.value:.4g}", row.unit, interval, "" if row.n is None else str(row.n), better))
    widths = [max(len(cell[i]) for cell in cells) for i in range(len(cells[0]))]
    return "\n".join("  " + "  ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)).rstrip() for cell in cells)
