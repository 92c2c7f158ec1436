"""One run of a command, or a sweep of runs: the output folder, `config.yaml` before, `summary.json` after."""

from __future__ import annotations

import functools
import importlib
import json
import math
import sys
import time
import traceback as traceback_module
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from data.errors import ConfigError, WaldoError
from data.results import SUMMARY, Figure, read_summary, write_atomic, write_summary
from waldo import manual, provenance
from waldo.compose import check, composed, sweep
from waldo.explain import explain


@dataclass(frozen=True)
class Job:
    """A command with its words.

    command     `train`, `dataset/info`, ...: waldo/<command>.py and configs/<command>.yaml
    words       key=value, as given
    config_dir  a further folder with YAML files
    traceback   let errors pass instead of turning them into one line
    """

    command: str
    words: tuple[str, ...]
    config_dir: Path | None = None
    traceback: bool = False

    def show(self) -> str:
        """The complete configuration as YAML."""
        cfg, _ = self._composed()
        return OmegaConf.to_yaml(cfg).rstrip()

    def run(self) -> int:
        """Compose, run, write the summary, print the folder last. Returns 0, or a gate's verdict; errors are raised."""
        cfg, out = self._composed()
        self.execute(cfg, out)
        module = self._module()
        print(out)
        if hasattr(module, "last_line"):  # bench ends with its headline figure
            print(module.last_line(out))
        sys.stdout.flush()
        return self.status(out)

    def status(self, out: Path) -> int:
        """The exit status of a run that is finished: what a gate found, 0 for every other command."""
        if self.command not in manual.GATES:
            return 0
        found: int = self._module().status(out)
        return found

    def perform(self) -> list[Figure]:
        """As `run`, for a command that is a step of another: nothing is printed at the end."""
        cfg, out = self._composed()
        return self.execute(cfg, out)

    def execute(self, cfg: DictConfig, out: Path) -> list[Figure]:
        """Run the command in `out`. A folder that was made for a run which its own input stopped is removed again."""
        made = not out.exists()
        if out.exists() and not out.is_dir():
            raise ConfigError(f"out={out} is a file; it has to be a folder")
        out.mkdir(parents=True, exist_ok=True)
        origin = provenance.collect(seed=cfg.get("seed"), argv=self._argv())
        settings = f"# {origin['command_line']}\n{OmegaConf.to_yaml(cfg)}"
        try:
            module = self._module()
            write_atomic(out / "config.yaml", settings)
            (out / SUMMARY).unlink(missing_ok=True)  # a summary says that the run beside it was finished
            figures = module.run(cfg, out)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(str(stop) or f"what was finished is kept in {out}") from stop
        except WaldoError:
            if made and [path.name for path in out.iterdir()] in ([], ["config.yaml"]):
                (out / "config.yaml").unlink(missing_ok=True)
                out.rmdir()
            raise
        write_summary(out, manual.spoken(self.command), origin, figures)
        return list(figures)

    def sweep(self) -> int:
        """Run every combination. One that fails is reported and does not stop the others; the status is the worst one."""
        words, given = _without_out(self.words)
        out = Path(given) if given else _default_out(self.command)
        sweep(self.command, words, self.config_dir, out, functools.partial(_sweep_job, self))
        rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*/job.json"), key=lambda p: int(p.parent.name))]
        figures = []
        for row in rows:
            folder = out / row["folder"]
            if (folder / SUMMARY).exists():
                figures += [_renamed(figure, row["overrides"]) for figure in read_summary(folder)[2]]
            print(f"{folder}  {row['overrides'] or '(defaults)'}  {row['headline']}")
        write_summary(out, manual.spoken(self.command), provenance.collect(argv=(*self._argv(), "-m")), figures)
        print(out, flush=True)
        return max((row["status"] for row in rows), default=0)

    def _module(self) -> ModuleType:
        return importlib.import_module(f"waldo.{self.command.replace('/', '.')}")

    def _argv(self) -> tuple[str, ...]:
        return (*manual.spoken(self.command).split(), *self.words)

    def _composed(self) -> tuple[DictConfig, Path]:
        words, given = _without_out(self.words)
        cfg = composed(self.command, words, self.config_dir)
        out = Path(given or cfg.get("out") or _default_out(self.command))
        with open_dict(cfg):
            cfg.out = str(out)
        return cfg, out


def _sweep_job(job: Job, cfg: DictConfig) -> float:
    """One combination, in whatever process the launcher chose. Returns the headline figure, which a search maximises or minimises."""
    hydra = HydraConfig.get()
    out = Path(hydra.runtime.output_dir)
    out = out.relative_to(Path.cwd()) if out.is_relative_to(Path.cwd()) else out
    overrides = " ".join(word.lstrip("+") for word in hydra.overrides.task)
    with open_dict(cfg):
        cfg.out = str(out)
    print(f"\n== {out.name}: {overrides}", flush=True)
    status, headline, value = 0, "", math.nan
    try:
        check(job.command, cfg)
        figures = job.execute(cfg, out)
        if figures:
            headline, value = str(figures[0]), float(figures[0].value)
        status = job.status(out)
    except Exception as error:  # noqa: BLE001  a sweep over night must survive one bad combination, whatever it was
        message, status = explain(error, job.command in manual.GATES)
        headline = message or f"bug: {type(error).__name__}: {error}"
        if message is None or job.traceback:
            traceback_module.print_exc()
        print(headline, file=sys.stderr)
    row = {"folder": out.name, "overrides": overrides, "status": status, "headline": headline}
    write_atomic(out / "job.json", json.dumps(row) + "\n")
    return value


def _renamed(figure: Figure, overrides: str) -> Figure:
    from dataclasses import replace

    return replace(figure, name=f"{overrides}: {figure.name}" if overrides else figure.name)


def _without_out(words: tuple[str, ...]) -> tuple[list[str], str | None]:
    """The frame owns `out`: it is a path as typed, never parsed."""
    given = [word.removeprefix("out=") for word in words if word.startswith("out=")]
    if given and not given[-1]:
        raise ConfigError("out= needs a folder")
    return [word for word in words if not word.startswith("out=")], given[-1] if given else None


def _default_out(command: str) -> Path:
    return Path("outputs") / manual.spoken(command).replace(" ", "_") / time.strftime("%Y-%m-%d_%H-%M-%S")
