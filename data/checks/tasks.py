"""Task strings that are empty, or the same but for case and spaces."""

from __future__ import annotations

from data.checks import Finding, Recording, count, quoted


def check(recording: Recording) -> list[Finding]:
    header = recording.header
    if not header.task_of and len(header.tasks) <= 1:
        said = header.tasks[0].strip() if header.tasks else ""
        return [] if said else [_nothing(recording)]
    of = [header.task_of[i] if header.task_of else () for i in recording.numbers.tolist()]
    silent = tuple(int(n) for n, tasks in zip(recording.numbers, of, strict=True) if not any(header.tasks[k].strip() for k in tasks))
    found = []
    if len(silent) == len(of):
        return [_nothing(recording)]
    if silent:
        text = f"{count(len(silent), 'episode', len(of))} without a task in words"
        why = "a policy that is told what to do is told nothing there"
        mend = recording.edit("relabel", episode_tasks="{" + ", ".join(f"{i}: WORDS" for i in silent) + "}")
        found.append(Finding("tasks", "warning", text, why, mend, "task_index", (), silent[0], 0, silent))
    spellings: dict[str, list[str]] = {}
    for task in header.tasks:
        spellings.setdefault(" ".join(task.lower().split()).rstrip(". "), []).append(task)
    for variants in (v for key, v in spellings.items() if key and len(v) > 1):
        concerned = tuple(
            int(n) for n, tasks in zip(recording.numbers, of, strict=True) if any(header.tasks[k] in variants[1:] for k in tasks)
        )
        text = f"{len(variants)} spellings of one task: {' and '.join(map(repr, variants[:4]))}"
        why = "they count as different tasks, and a policy is told apart what is the same"
        mend = recording.edit("relabel", episode_tasks="{" + ", ".join(f"{i}: {quoted(variants[0])}" for i in concerned) + "}")
        first = concerned[0] if concerned else None
        found.append(Finding("tasks", "warning", text, why, mend, "task_index", (), first, None if first is None else 0, concerned))
    return found


def _nothing(recording: Recording) -> Finding:
    mend = recording.edit("convert", task="WORDS")
    return Finding("tasks", "note", "no task is said in words", "policies that follow language need it", mend)
