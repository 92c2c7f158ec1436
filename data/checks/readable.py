"""Columns that cannot be read at all: another shape than promised, empty rows, a damaged page."""

from __future__ import annotations

from data.checks import Finding, Recording


def check(recording: Recording) -> list[Finding]:
    recording.columns  # noqa: B018  reading them is what tells
    return [
        Finding("readable", "error", reason, "a training that needs this column stops here", recording.repair(), name)
        for name, reason in recording.unreadable.items()
    ]
