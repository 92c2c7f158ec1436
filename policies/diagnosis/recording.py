"""What the dataset doctor finds that no training survives: scattered actions, frozen cameras, statistics of other data, NaN."""

from __future__ import annotations

from data.checks import Finding
from data.doctor import examine
from data.lookup import find
from data.mapping import mapped
from data.source import Given, open_source
from policies.diagnosis import CERTAIN, Alarm, Study

# The checks of data/checks whose findings are causes of their own. The others tell of what may be meant: they are for `waldo data doctor`.
CAUSES = {
    "scattered": "corrupted actions",
    "pictures": "frozen or blind camera",
    "stats": "wrong normalisation",
    "finite": "damaged recording",
    "counting": "damaged recording",
}


def check(study: Study) -> list[Alarm]:
    config = study.part.config
    given = Given(config.fps, config.task, config.robot_type)
    source = mapped(open_source(find(config.path), given), config.mapping)
    unseen = {key for key in study.dataset.camera_keys if key not in study.cameras}
    pictures = "sample" if study.cameras else "none"
    findings = examine(source, pictures, only=list(CAUSES)).findings
    return [_alarm(f, study) for f in findings if f.severity != "note" and f.feature not in unseen and f.check in CAUSES]


def _alarm(finding: Finding, study: Study) -> Alarm:
    cause = CAUSES[finding.check]
    if finding.check == "pictures" and "stands still" in finding.found:
        cause = "frozen camera"
    # Statistics that are stored beside the data are not what our policies are normalised by.
    weight = "likely" if finding.check == "stats" or (finding.severity == "warning" and len(finding.episodes) < 2) else "certain"
    return Alarm(cause, "recording", weight, 0.8 * CERTAIN, f"in the recording: {finding.found}", finding.why, finding.mend)
