"""A report is one file that needs nothing else, shows what it was given, and stays small."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from data.charts import contact_sheet, latency_histogram, learning_curves, success_bars
from data.clips import embeddable, encode
from data.diagram import BOXES, path_diagram
from data.errors import DatasetError
from data.report import Report, Video
from data.results import Figure
from data.statistics import wilson

VOID = {"meta", "img", "br", "hr", "rect", "path", "use", "stop"}


def rate(name: str, successes: int, n: int) -> Figure:
    low, high = wilson(successes, n)
    return Figure(name, successes / n, n=n, low=low, high=high)


FIGURES = [
    rate("success/untrained", 0, 100),
    rate("success/bc", 41, 100),
    rate("success/flow", 71, 100),
    rate("success/steered", 86, 100),
    rate("success/arm", 17, 20),
]


def clip(seed: int, frames: int = 60, size: int = 96) -> np.ndarray:
    """A blob that moves over a soft background with camera noise: about as hard to compress as a rendered scene."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    path = np.cumsum(rng.normal(0, 0.02, (frames, 2)), axis=0) + 0.5
    shade = np.stack([0.75 - 0.25 * y, 0.7 - 0.1 * x, 0.68 + 0.1 * y], axis=-1)
    blobs = np.exp(-((x - path[:, :1, None]) ** 2 + (y - path[:, 1:, None]) ** 2) / 0.006)[..., None]
    color = np.array([0.85, 0.3, 0.15]) if seed % 2 else np.array([0.1, 0.4, 0.8])
    frames_ = shade * (1 - blobs) + color * blobs + rng.normal(0, 0.01, (frames, size, size, 1))
    return (255 * frames_.clip(0, 1)).astype(np.uint8)


def metrics() -> list[dict[str, float]]:
    rng = np.random.default_rng(0)
    return [
        {
            "step": s,
            "loss": float(np.exp(-s / 900) + 0.08 + 0.05 * rng.random()),
            "loss/critic": 0.4 + 0.2 * float(np.exp(-s / 300)) + 0.02 * rng.random(),
        }
        for s in range(0, 5000, 20)
    ]


def sample() -> Report:
    provenance = {
        "command_line": "waldo demo",
        "seed": 0,
        "time_utc": "2026-11-21T10:00:00+00:00",
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "versions": {"python": "3.11.7", "torch": "2.13.0", "mujoco": "4.0.0"},
        "cores": 2,
    }
    report = Report("Pick and place with a simulated Panda", "From 200 demonstrations to a controlled arm, on two CPU cores.", provenance)
    labels = ["Untrained", "Behaviour cloning", "Flow policy", "Flow, steered", "On the arm"]
    report.headline(FIGURES, labels)
    report.path(
        {
            "demonstrations": "scripted expert, 200 of 203 kept",
            "dataset": "200 episodes, 31,204 frames, 18 MB",
            "policy": "flow, 0.9 M weights, 5,000 steps",
            "critic": "IQL, 3,000 steps",
            "steering": "best of 16",
            "evaluation": "86 % of 100 seeds",
            "artefact": "3.9 MB, ONNX",
            "control loop": "500 Hz, p99 94 µs, 0 missed",
            "arm": "17 of 20 placed",
        },
        "The way through this run.",
    )
    report.section("How often it works", "Every policy was tried on the **same 100 seeds**, which no training or choice had seen.")
    report.figures(FIGURES, "Bars: 95 % intervals (Wilson).", labels)
    report.plot(success_bars(FIGURES, ["untrained", "cloning", "flow", "steered", "arm"]), "The same figures side by side.")
    report.note("On the arm means: a virtual arm on the vendor's own protocol, in another process.")
    report.section("Training", "Loss over gradient steps; thin lines are single rows, thick ones a moving average.")
    report.plot(learning_curves(metrics()), "Flow matching loss and critic loss.")
    report.section("Control", "How late the 500 Hz loop was, in the run above.")
    rng = np.random.default_rng(1)
    report.plot(latency_histogram(np.exp(rng.normal(-3, 0.5, 20000)), limit=2.0, label="lateness"))
    report.figures(
        [
            Figure("latency/p99", 0.094, "ms", n=20000),
            Figure("missed", 0.0, "", n=20000),
            Figure("drift", 12345.6, "1/s", low=1.0, high=2.0),
        ]
    )
    report.table(
        ["filter", "interventions", "share"],
        [["workspace", 3, 0.00015], ["`speed`", 0, 0.0], ["collision", 12, None]],
        "What the safety filter did.",
    )
    report.section("Episodes", "The first twenty seeds, chosen by nothing but their number.")
    report.videos([Video(clip(i), f"seed {1000 + i}, {60 + i} steps", success=i % 5 != 0) for i in range(20)], "Steered policy.")
    report.image(contact_sheet([clip(i) for i in range(4)]), "Four episodes, one row each, from left to right.")
    report.code("make demo\nwaldo evaluate checkpoint=outputs/demo/flow")
    return report


class Checker(HTMLParser):
    """Every element is closed in order; ids and references are collected."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href", "poster", "data")]

    def handle_startendtag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return sample().write(tmp_path_factory.mktemp("report") / "report.html")


def test_one_file_that_fetches_nothing_and_runs_nothing(page):
    text = page.read_text()
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert len(checker.ids) == len(set(checker.ids)), "ids of inlined plots clash"
    for reference in checker.references:
        assert reference.startswith(("data:", "#")), reference
        assert not reference.startswith("#") or reference[1:] in checker.ids
    without_data = re.sub(r"data:[\w/]+;base64,[\w+/=]+", "", text)
    assert not re.search(r"<script|@import|<link|<iframe|url\((?!#)", without_data)
    assert set(re.findall(r"https?://[\w./]+", without_data)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_twenty_videos_fit_into_twenty_megabytes(page):
    assert page.read_text().count("<video") == 20
    assert page.stat().st_size < 20e6


def test_it_shows_the_figures_it_was_given(page):
    text = page.read_text()
    for expected in (
        "86.0",
        "77.9 &ndash; 91.5",
        "n&nbsp;=&nbsp;100",
        "commit 0123456789",
        "waldo demo",
        "12,346",
        "500 Hz, p99 94 µs, 0",
        "0.094",
    ):
        assert expected in text


def test_any_string_may_be_shown():
    report = Report("<script>alert(1)</script>", "a & b", {"command_line": "</pre><script>"})
    report.section("<b>", "`<i>` **<u>** [x](javascript:alert) [y](https://example.org)")
    report.table(["<a>"], [["<td>"]])
    report.videos([Video(clip(0, 3), '"><script>')])
    report.path({"dataset": "<script>"})
    text = report.html()
    assert "<script" not in text
    assert "javascript:alert)" in text
    assert 'href="javascript' not in text
    assert '<a href="https://example.org">' in text


def test_large_and_foreign_videos_are_written_anew_and_small_ones_are_kept(tmp_path):
    small, large = tmp_path / "small.mp4", tmp_path / "large.mp4"
    small.write_bytes(encode(clip(1), 20))
    assert embeddable(small) == small.read_bytes()
    large.write_bytes(encode(np.random.default_rng(0).integers(0, 255, (20, 480, 640, 3), dtype=np.uint8), 20, side=640, crf=10))
    assert large.stat().st_size > 2_000_000
    assert len(embeddable(large)) < large.stat().st_size / 8
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(DatasetError, match=r"broken\.mp4"):
        embeddable(tmp_path / "broken.mp4")
    with pytest.raises(DatasetError, match=r"missing\.mp4"):
        embeddable(tmp_path / "missing.mp4")
    with pytest.raises(ValueError, match="uint8"):
        encode(np.zeros((2, 4, 4, 3)), 20)


def test_odd_sizes_are_encoded(tmp_path):
    path = tmp_path / "odd.mp4"
    path.write_bytes(encode(clip(1, 5, 33), 20))
    assert len(embeddable(path)) > 0


def test_the_diagram_names_the_whole_way_and_refuses_other_boxes():
    for name in BOXES:
        assert f">{name}</text>" in path_diagram()
    with pytest.raises(ValueError, match="no such box: polcy"):
        path_diagram({"polcy": "x"})


def test_charts_refuse_nothing_to_draw():
    with pytest.raises(ValueError, match="no row has any of loss"):
        learning_curves([{"step": 1}], ["loss"])
    with pytest.raises(ValueError, match="latency"):
        latency_histogram([float("nan"), 0.0])
    with pytest.raises(ValueError, match="one size"):
        contact_sheet([clip(0, 2, 8), clip(0, 2, 10)])


def test_charts_draw_a_single_point():
    assert "<svg" in learning_curves([{"step": 0, "loss": 1.0}])
    assert "<svg" in latency_histogram([1.0])
    assert "<svg" in success_bars([Figure("success/a", 1.0)])
    assert contact_sheet([clip(0, 1, 8)], columns=3).shape == (8, 28, 3)


def test_a_table_refuses_a_row_of_another_length():
    with pytest.raises(ValueError, match="1 cells"):
        Report("x").table(["a", "b"], [[1]])
