"""Is a new policy worse than an old one? Exit status 0: it is not, 1: it is, 2: that is not settled.

Both meet the same seeds, and the episodes are counted in pairs. REFERENCE, the old policy, and CANDIDATE, the new one, are each a
folder of `waldo evaluate`, whose rows are taken and nothing is run, or a checkpoint or artefact, which is then played in `env`.

"Worse" is: its success rate is lower by more than `margin`. The evidence is weighed after every episode and the episodes
end when it is enough, in whichever direction; each of the two verdicts is wrong with a chance of at most `alpha`, however
long it goes on. With sequential=false there is one look at all seeds, by Newcombe's interval at level 1 - 2 alpha.

Exit status, for a build server: 0 not worse, 1 worse, 2 undecided, 3 a mistake in the input, 4 a bug in waldo,
130 interrupted. Played episodes are kept in out/candidate and out/reference; with the same `out` an interrupted
comparison goes on. Whoever changed the code in between may compare: commits that differ are named, and no mistake.

examples:
  waldo compare outputs/eval_old outputs/eval_new
  waldo compare outputs/eval_old outputs/eval_new margin=0.05 alpha=0.01 sequential=false
  waldo compare outputs/eval_old outputs/new/checkpoint env=reach          play the new one, on the seeds of the old one
  waldo compare outputs/old/checkpoint outputs/new/checkpoint env=reach episodes=400
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from data.errors import ConfigError
from data.evaluation import Manifest, pair, require_same_place
from data.results import Figure, read_summary
from waldo.comparison.contest import Playing, Recorded, meet, open_side, seeds_of
from waldo.comparison.verdict import Comparison, compare
from waldo.dataset.terminal import aligned


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    _check(cfg)
    sides: list[Recorded | Playing] = []
    try:
        for name in ("candidate", "reference"):
            sides.append(open_side(name, cfg[name], cfg, out))
        found = _found(cfg, sides)
    finally:
        for side in sides:
            side.close()
    a, b = (side.manifest for side in sides)
    names = (_name(cfg.candidate, a), _name(cfg.reference, b))
    print("\n".join(["", *aligned(found.table(names), right=(1, 2)), "", *_remarks(a, b), *found.sentences()]))
    return found.figures()


def status(out: Path) -> int:
    """The exit status of a finished comparison."""
    return round(next(figure.value for figure in read_summary(out)[2] if figure.name == "verdict"))


def _found(cfg: DictConfig, sides: list[Recorded | Playing]) -> Comparison:
    settings = (cfg.margin, cfg.alpha, cfg.sequential)
    recorded = [side.evaluation for side in sides if isinstance(side, Recorded)]
    if len(recorded) == len(sides):
        _, a, b = pair(*recorded)
        return compare(a, b, *settings)
    require_same_place(*(side.manifest for side in sides))
    seeds = seeds_of(sides, cfg)
    a, b = meet(sides, seeds, cfg.group, lambda a, b: cfg.sequential and compare(a, b, *settings).verdict.decision != "undecided")
    return compare(a, b, *settings, stopped=len(a) < len(seeds))


def _remarks(a: Manifest, b: Manifest) -> list[str]:
    lines = []
    if a.commit != b.commit:
        said = [manifest.commit[:10] or "unknown" for manifest in (a, b)]
        lines.append(f"Commits: candidate {said[0]}, reference {said[1]}. What differs may be the code as well as the policy.")
    elif a.identity and a.identity == b.identity:
        lines.append("Both are one and the same: the same weights in the same environment under the same code.")
    return lines


def _name(path: str, manifest: Manifest) -> str:
    return path if manifest.policy == path else f"{path} ({manifest.policy})"


def _check(cfg: DictConfig) -> None:
    if not 0 <= cfg.margin < 1:
        raise ConfigError(f"margin={cfg.margin}: a difference of success rates is wanted, at least 0 and less than 1, such as 0.15")
    if not 0 < cfg.alpha < 0.5:
        raise ConfigError(f"alpha={cfg.alpha}: a chance of error between 0 and 0.5 is wanted, such as 0.001")
    for name in ("episodes", "group"):
        if cfg[name] < 1:
            raise ConfigError(f"{name}={cfg[name]}: at least one is wanted")
