"""A stand-in for `python -m waldo COMMAND words out=FOLDER`, for the tests of what strings commands together.

Light, because dozens of it are started. It notes that it ran (ran.txt), and then, as its words say: `wait=FILE` until there is such a
file, `fail=TEXT`. `train` keeps how many demonstrations it was given; `evaluate` succeeds by a power law of them.
"""

import json
import sys
import time
from pathlib import Path

LAW = (2.0, 0.7)  # failure = a n^-b
EPISODES = 1000


def main(command: str, words: list[str]) -> int:
    given = dict(word.partition("=")[::2] for word in words)
    out = Path(given["out"])
    out.mkdir(parents=True, exist_ok=True)
    (out / "summary.json").unlink(missing_ok=True)
    with (out / "ran.txt").open("a") as file:
        file.write("ran\n")
    print(f"{command}:  43%|####      |", flush=True)
    while "wait" in given and not Path(given["wait"]).exists():
        time.sleep(0.01)
    if "fail" in given:
        print(f"error: {given['fail']}")
        return 2
    name, value, n = figure(command, given, out)
    row = {"name": name, "value": value, "unit": "", "n": n, "low": None, "high": None}
    summary = out / "summary.json.new"
    summary.write_text(json.dumps({"command": command, "provenance": {}, "figures": [row]}))
    summary.replace(out / "summary.json")
    return 0


def figure(command: str, given: dict[str, str], out: Path) -> tuple[str, float, int | None]:
    """(name, value, n)"""
    if command == "collect":
        return "collect/success", int(given["episodes"]) * 9 // 10, None
    if command == "train":
        (out / "checkpoint").write_text(given.get("data.max_episodes", "0"))
    if command == "evaluate":
        a, b = LAW
        n = int(Path(given["checkpoint"]).read_text())
        return "success", round(EPISODES * max(0.0, 1 - a * n**-b)) / EPISODES, EPISODES
    return "steps", 1.0, None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
