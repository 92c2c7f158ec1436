"""Whatever is recorded comes back: any features, any values, any words, whole or frame by frame, to the last bit."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from data.lerobot import layout
from data.record import Recorder
from data.spec import IMAGE_PREFIX, Feature
from data.store import Dataset

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=12)
NAMES = WORDS.filter(lambda name: name not in layout.DEFAULT_FEATURES and not name.startswith(IMAGE_PREFIX))
TASKS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30).filter(str.strip)
SHAPES = st.one_of(st.just(()), st.just((1,)), st.tuples(st.integers(2, 9)), st.tuples(st.integers(1, 3), st.integers(1, 4)))


@dataclass(frozen=True)
class Plan:
    """What is recorded: features, cameras, and per episode its length, its task and whether it comes frame by frame."""

    features: tuple[Feature, ...]
    cameras: dict[str, tuple[int, int]]
    codec: str
    episodes: tuple[tuple[int, str, bool], ...]
    seed: int


@st.composite
def plans(draw: st.DrawFn, longest: int = 60) -> Plan:
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    features = []
    for name in names:
        dtype = draw(st.sampled_from((*layout.DTYPES, layout.TEXT)))
        features.append(Feature(name, draw(SHAPES) if dtype != layout.TEXT else (1,), dtype))
    codec = draw(st.sampled_from(("png", "h264")))
    side = st.integers(2, 40) if codec == "png" else st.integers(1, 20).map(lambda n: 2 * n)
    cameras = draw(st.dictionaries(WORDS.filter(lambda name: len(name.encode()) < 40), st.tuples(side, side), max_size=2))
    length = st.one_of(st.integers(1, 30), st.integers(1, longest))
    episodes = draw(st.lists(st.tuples(length, TASKS, st.booleans()), min_size=1, max_size=3))
    return Plan(tuple(features), cameras, codec, tuple(episodes), draw(st.integers(0, 2**32)))


def values_of(feature: Feature, length: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of every size, the extremes among them; words for a text."""
    shape = (length, *feature.shape)
    if feature.dtype == layout.TEXT:
        return np.array([["", "reach", "greife 手", "a\nb", "'\""][i] for i in rng.integers(0, 5, length)], object)
    dtype = np.dtype(feature.dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        ends = np.array([info.min, info.max, 0, 1], dtype)
        return np.where(rng.random(shape) < 0.3, ends[rng.integers(0, 4, shape)], rng.integers(info.min, info.max, shape, dtype, True))
    limits = np.finfo(dtype)
    ends = np.array([limits.max, limits.min, limits.tiny, limits.smallest_subnormal, -0.0], dtype)
    plain = rng.normal(size=shape) * 10.0 ** rng.integers(-30, 30, shape)
    return np.where(rng.random(shape) < 0.1, ends[rng.integers(0, 5, shape)], plain.astype(dtype)).astype(dtype)


def record(root: Path, plan: Plan) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns all values and all pictures."""
    rng = np.random.default_rng(plan.seed)
    columns: dict[str, list[np.ndarray]] = {feature.name: [] for feature in plan.features}
    films: dict[str, list[np.ndarray]] = {name: [] for name in plan.cameras}
    for length, task, by_frame in plan.episodes:  # a session each: every one but the first appends
        arrays = {feature.name: values_of(feature, length, rng) for feature in plan.features}
        images = {name: rng.integers(0, 256, (length, *size, 3)).astype(np.uint8) for name, size in plan.cameras.items()}
        with Recorder(root, 10, plan.features, "any", plan.cameras, codec=plan.codec) as recorder:
            if by_frame:
                for t in range(length):
                    recorder.add_frame({name: v[t] for name, v in arrays.items()}, {name: v[t] for name, v in images.items()})
                recorder.save_episode(task)
            else:
                recorder.add_episode(arrays, task, images)
        for name, values in arrays.items():
            columns[name].append(values)
        for name, frames in images.items():
            films[name].append(frames)
    return {name: np.concatenate(v) for name, v in columns.items()}, {name: np.concatenate(v) for name, v in films.items()}


@contextmanager
def new_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder / "d"
    finally:
        shutil.rmtree(folder)


def check(plan: Plan) -> None:
    with new_folder() as root:
        columns, films = record(root, plan)
        dataset = Dataset.open(root)
        lengths = [length for length, *_ in plan.episodes]
        assert dataset.episode_ends.tolist() == np.cumsum(lengths).tolist()
        assert [dataset.episode(i).task for i in range(len(lengths))] == [task for _, task, _ in plan.episodes]
        stored = layout.read_json(root / layout.STATS, "")
        read = dataset.table(dataset.column_keys)
        for feature in plan.features:
            if feature.dtype == layout.TEXT:
                files = sorted(root.glob("data/*/*.parquet"))
                assert [text for path in files for text in pq.read_table(path)[feature.name].to_pylist()] == list(columns[feature.name])
                continue
            found, expected = read[feature.name], columns[feature.name]
            event(feature.dtype)
            assert found.dtype == feature.dtype
            assert np.ascontiguousarray(found).tobytes() == expected.tobytes()  # bit by bit: -0.0 is not 0.0
            stats = stored[feature.name]
            rows = expected.reshape(-1, expected.shape[-1]) if feature.shape else expected.reshape(-1, 1)
            assert stats["min"] == rows.min(0).tolist() and stats["max"] == rows.max(0).tolist()
            assert all(np.isfinite(np.array(value, float)).all() for value in stats.values())
        for name, frames in films.items():
            images = dataset.images(layout.camera_key(name))
            assert images.shape == frames.shape
            if plan.codec == "png":
                np.testing.assert_array_equal(images, frames)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(plans())
def test_any_episode_comes_back(plan):
    check(plan)


@pytest.mark.slow
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(plans(longest=10_000))
def test_any_of_many_episodes_comes_back(plan):
    check(plan)
