"""The report of an evaluation: what it says, what it does without half of its material, and how a real browser likes it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from data.evaluation import Evaluation
from data.failures import kinds
from data.results import Figure, write_summary
from tests.browser import CHROMIUM, Browser
from tests.evaluated import LIMIT, film, left_is_hard, row, trace, write
from waldo.reports.evaluation import finding, write_report

SECTIONS = [
    "How far episodes come",
    "How and when episodes fail",
    "Where episodes begin",
    "Films",
    "Time to decide",
    "Interventions",
    "What to do next",
]


def sections(page: str) -> list[str]:
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page)


def words(page: str) -> str:
    """What one reads, without tags; an image is its alternative text."""
    return re.sub(r"\s+", " ", re.sub(r"<(style|svg).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL).replace("&nbsp;", " "))


def said(tmp_path: Path, rows: list[dict], **other: object) -> str:
    evaluation = write(tmp_path / f"{len(list(tmp_path.iterdir()))}", rows, **other)  # type: ignore[arg-type]
    return finding(evaluation, kinds(evaluation))


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return left_is_hard(tmp_path_factory.mktemp("evaluations") / "flow")


@pytest.fixture(scope="module")
def page(evaluation: Evaluation) -> str:
    return write_report(evaluation).read_text(encoding="utf-8")


def test_one_sentence_says_what_was_found(tmp_path):
    won, lost, near = (lambda s: row(s, 3)), (lambda s: row(s, 1)), (lambda s: row(s, 2))
    assert said(tmp_path, [won(100)]) == "The one episode succeeds."
    assert said(tmp_path, [lost(100)]) == "The one episode fails: it stops before “cube lifted”."
    all_won = said(tmp_path, [won(100 + i) for i in range(20)])
    assert all_won == "All 20 episodes succeed; the 95 % interval of the success rate begins at 83.9 %."
    assert said(tmp_path, [lost(100 + i) for i in range(20)]) == "None of 20 episodes succeeds; all stop before “cube lifted”."
    assert said(tmp_path, [won(100), won(101), lost(102)]) == "Of 3 episodes 2 succeed; the one failure stops before “cube lifted”."
    rows = [won(100), *(lost(101 + i) for i in range(3)), near(104)]
    assert said(tmp_path, rows) == "Of 5 episodes 1 succeeds; 3 of the 4 failures stop before “cube lifted”."
    rows = [won(100), *(lost(101 + i) for i in range(3)), near(104), near(105)]
    assert said(tmp_path, rows).endswith("3 of the 5 failures stop before “cube lifted”, another 2 stop before “cube in the bin”.")
    assert said(tmp_path, [won(100), lost(101), lost(102)], milestones=()) == "Of 3 episodes 1 succeeds; all 2 failures run out of time."


def test_the_numbers_stand_with_their_intervals(page, evaluation):
    won, n = int(evaluation.success.sum()), len(evaluation.rows)
    text = words(page)
    assert sections(page) == SECTIONS
    assert f"{100 * won / n:.1f} %" in text and f"n = {n}" in text
    assert "2 s 2 &ndash; 2 , n = " in text, "every success takes 40 control steps at 20 Hz"
    assert re.search(r"at the cube 100\.0 % 94\.0 &ndash; 100\.0 60 0\.5", text), "the funnel"
    assert f"{n - won} of {n - won} failures" in text
    assert re.search(r"cube_y below -?0\.\d+ ?0 of \d+ succeed; elsewhere \d+ of \d+", text), "where it fails is among the tiles"
    assert "p99 6.98, allowed 400 ms" in text


def test_the_moment_of_failure_is_shown_from_the_films(page, evaluation):
    filmed = [seed for seed in evaluation.videos() if not evaluation.success[list(evaluation.seeds).index(seed)]]
    strips = re.findall(r'<figure class="strip">.*?</figure>', page, re.DOTALL)
    assert 2 <= len(strips) <= len(filmed) <= 8
    assert all(strip.count("data:image/jpeg") >= 4 and strip.count('class="mark"') == 1 for strip in strips)
    assert page.count("<video") == 8
    marks = re.findall(r"<figcaption class=\"(good|bad)\">", page)
    assert marks == sorted(marks), "failures come first"


def test_the_commands_at_the_end_are_those_of_this_evaluation(tmp_path):
    evaluation = left_is_hard(tmp_path / "flow", 20, 0)
    origin = {
        "command_line": "waldo evaluate checkpoint=outputs/flow/checkpoint env=stack episodes=20 seed=100 videos=0 out=x",
        "seed": 100,
    }
    write_summary(tmp_path / "flow", "evaluate", origin, [Figure("success", 0.5)])
    code = re.search(r"<pre><code>(.*?)</code></pre>", write_report(evaluation).read_text(), re.DOTALL)[1].replace("&#x27;", "'")
    first, second = kinds(evaluation)[0].seeds[:2]
    again = f"waldo evaluate checkpoint=outputs/flow/checkpoint env=stack 'seeds=[{first},{second}]' videos=2 report=true"
    assert f"{again} out={tmp_path}/flow_failures" in code
    assert f"waldo diagnose checkpoint=outputs/flow/checkpoint env=stack data=DATASET evaluation={tmp_path}/flow\n" in code
    assert f"waldo compare OTHER {tmp_path}/flow" in code


@pytest.mark.parametrize(
    "name", ["rows alone", "all succeed", "all fail", "one succeeds", "one fails", "errors", "unnamed", "not finished"]
)
def test_it_does_with_less(tmp_path, name):
    bare = {"milestones": (), "features": {}}
    seeds = range(100, 112)
    some = {seed: trace(40, [0, 0, 0.4 + 0.01 * (seed % 5), 0.1 * (seed % 3), 0, 0], np.zeros(6), unnamed=True) for seed in seeds}
    if name == "rows alone":
        evaluation = write(tmp_path, [row(seed, 3 * (seed % 2)) for seed in seeds], **bare)
    elif name in ("all succeed", "all fail"):
        evaluation = write(tmp_path, [row(seed, 3 if name == "all succeed" else 1) for seed in seeds], some)
    elif name in ("one succeeds", "one fails"):
        evaluation = write(tmp_path, [row(100, 3 if name == "one succeeds" else 0)], {100: some[100]}, [100])
    elif name == "errors":
        evaluation = write(tmp_path, [row(seed, 0, length=seed - 99, error=f"<b>broke</b> at {seed}") for seed in seeds], some)
    elif name == "unnamed":
        evaluation = write(tmp_path, [row(seed, 3 * (seed % 2)) for seed in seeds], some, **bare)
    else:
        evaluation = write(tmp_path, [row(seed, 3) for seed in seeds], seeds=tuple(range(100, 150)))
    page = write_report(evaluation, tmp_path).read_text(encoding="utf-8")
    found = sections(page)
    assert found[0] == SECTIONS[0] and found[-1] == SECTIONS[-1]
    assert ("How and when episodes fail" in found) == (name not in ("all succeed", "one succeeds", "not finished"))
    assert ("Where episodes begin" in found) == (name in ("all succeed", "all fail", "errors", "unnamed"))
    assert ("Films" in found) == name.startswith("one")
    assert "Time to decide" not in found and "Interventions" not in found
    assert "<b>broke" not in page and ("&lt;b&gt;broke" in page) == (name == "errors")
    assert ("<strong>Not finished:</strong> 12 of 50 episodes" in page) == (name == "not finished")
    assert not re.search(r"\bnan\b|\binf\b|\bNone\b(?! of 12)", words(page)), "no number without a value"


def test_what_cannot_be_read_is_left_out_and_named(tmp_path):
    evaluation = left_is_hard(tmp_path, 30, 4)
    (tmp_path / "traces" / "seed_103.npz").write_bytes(b"nothing")
    broken = next(iter(evaluation.videos().values()))
    broken.write_bytes(b"nothing")
    page = write_report(evaluation).read_text(encoding="utf-8")
    assert page.count("<video") == 3
    assert "Left out:" in page and "seed_103.npz is damaged" in page and broken.name in page


def test_ten_thousand_episodes_make_a_small_page(tmp_path):
    rng = np.random.default_rng(0)
    rows = [row(100 + i, int(reached), limited=int(i % 9)) for i, reached in enumerate(rng.integers(0, 4, 10_000))]
    starts = rng.uniform(size=(300, 6))
    evaluation = write(tmp_path, rows, {100 + i * 33: trace(3, start, start) for i, start in enumerate(starts)})
    path = write_report(evaluation)
    assert path.stat().st_size < 1_000_000
    assert "2,467 of 10,000" in words(path.read_text()) or "10,000 episodes" in words(path.read_text())


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on this machine")
def test_a_browser_shows_it_without_an_error_and_without_a_network(tmp_path):
    evaluation = left_is_hard(tmp_path / "flow", 60, 20)
    for path in evaluation.videos().values():  # long ones, as large as real ones
        film(path, 400, 99)
    report = write_report(evaluation)
    assert report.stat().st_size < 20e6 and report.read_text().count("<video") == 20
    with Browser(tmp_path / "browser") as browser:
        for width, dark in ((1200, False), (400, False), (400, True)):
            browser.open(report, width, dark=dark)
            assert browser.evaluate("document.documentElement.scrollWidth") == width, "nothing sticks out sideways"
            assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
            assert not browser.evaluate("Boolean(document.querySelector('script'))")
            ink, paper = browser.evaluate("['color', 'backgroundColor'].map(k => getComputedStyle(document.body)[k])")
            bright = [sum(map(int, re.findall(r"\d+", color))) for color in (ink, paper)]
            assert (bright[0] > bright[1] + 300) if dark else (bright[1] > bright[0] + 300)
            smallest = "Math.min(...[...document.querySelectorAll('figure.plot svg text')].map(t => t.getBoundingClientRect().height))"
            assert browser.evaluate(smallest) >= 8, "words in plots can be read"
        playing = "Promise.all([...document.querySelectorAll('video')].map(v => v.readyState >= 2 || new Promise(r => v.onloadeddata = r)))"
        assert browser.evaluate(f"{playing}.then(all => all.length)") == 20, "every film plays"
        assert 2 <= browser.pdf().count(b"/Type /Page\n") <= 8
        assert browser.said == []
        assert [address for address in browser.asked if not address.startswith(("data:", "file:"))] == []


def test_a_page_that_breaks_would_be_noticed(tmp_path):
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on this machine")
    broken = tmp_path / "broken.html"
    broken.write_text("<img src='http://example.org/x.png'><script>missing()</script>")
    with Browser(tmp_path / "browser") as browser:
        browser.open(broken)
        assert any("missing is not defined" in line for line in browser.said)
        assert any("ERR_NAME_NOT_RESOLVED" in line for line in browser.said)
        assert "http://example.org/x.png" in browser.asked


def test_the_page_says_where_it_comes_from(page, evaluation):
    footer = re.search(r"<footer>.*?<code>(.*?)</code>", page, re.DOTALL)[1].replace("&quot;", '"')
    origin = json.loads(footer)
    assert origin["evaluation"]["identity"] == evaluation.manifest.identity and origin["evaluation"]["max_steps"] == LIMIT
    assert origin["versions"]["numpy"] == np.__version__
