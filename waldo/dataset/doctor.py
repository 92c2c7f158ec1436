"""Find what is wrong with a recording of any format, and say how to mend it.

Values: NaN, jumps, dead joints, grippers that never move, actions cut at a limit, quaternions that are none, actions that are
the state itself. Time: timestamps, frame rates that the motion contradicts, missing frames. Episodes: copies, far too short or
long, ends and rewards that contradict each other. Cameras: frozen, black, too short, of another rate. Files: missing, cut off,
counts that disagree, statistics of other data, tasks without words.

Every finding says where it is, why it matters and which command mends it: an error (nothing should be trained from it as it
is), a warning, or a note. They are printed, and written to findings.json with all episodes that they concern.

examples:
  waldo data doctor datasets/pick_place
  waldo data doctor datasets/pick_place cameras=all           decode every frame
  waldo data doctor pusht/pusht_cchi_v7_replay.zarr.zip fps=10
  waldo data doctor datasets/pick_place strict=true           exit with status 2 where there are errors
"""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from data.checks import SEVERITIES, Finding, count
from data.doctor import Examination, examine, unopened
from data.errors import DatasetError
from data.lookup import find
from data.results import Figure, write_atomic
from waldo.dataset import terminal
from waldo.dataset.opening import look_at

LISTED = 8  # episodes that are named; findings.json has all


def run(cfg: DictConfig, out: Path) -> list[Figure]:
    place = find(cfg.path)  # what is not there is a mistake of the user, not of the recording
    try:
        source, rate_is_known = look_at(cfg.path, cfg.fps)
    except DatasetError as error:
        examination = unopened(place, error)
    else:
        said = {"fps": f"{cfg.fps:g}"} if cfg.fps else {}
        examination = examine(source, str(cfg.cameras), rate_is_known, list(cfg.checks), said)
    write_atomic(out / "findings.json", examination.to_json())
    print("\n".join(_told(examination, place)))
    errors = examination.count("error")
    if cfg.strict and errors:
        raise DatasetError(f"{place}: {count(errors, 'error')}, see above; {out / 'findings.json'} has them all")
    return [Figure(f"doctor/{severity}s", float(examination.count(severity))) for severity in SEVERITIES]


def _told(examination: Examination, place: Path) -> list[str]:
    lines = [f"{place}: {examination.seen}", ""]
    for finding in examination.findings:
        lines += [*_lines(finding), ""]
    counts = ", ".join(count(examination.count(severity), severity) for severity in SEVERITIES)
    return [*lines, counts if examination.findings else "nothing found"]


def _lines(finding: Finding) -> list[str]:
    where = [finding.feature] if finding.feature else []
    if finding.episode is not None:
        frame = f", frame {finding.frame}" if finding.frame is not None else ""
        where.append(f"episode {finding.episode}{frame}")
    more = [str(i) for i in finding.episodes if i != finding.episode]
    if more:
        where.append(f"also in {', '.join(more[:LISTED])}{f' and {len(more) - LISTED} more' if len(more) > LISTED else ''}")
    lines = [f"{finding.severity:<8} {finding.check:<12} {'; '.join(where)}".rstrip()]
    return [*lines, *map(_indented, (f"{finding.found}.", f"Why: {finding.why}.")), f"         Mend: {terminal.cut(finding.mend, 400)}"]


def _indented(text: str) -> str:
    return " " * 9 + terminal.paragraph(text, 9)
