"""Every value is in the log at its time, as the mcap library reads it and the schemas in the file explain it."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mcap.reader import make_reader

from data.errors import DatasetError
from data.export import export
from data.store import Dataset
from tests.data.conftest import LENGTHS, TOP, make_arrays, make_images, record
from tests.data.in_memory import rich


def decoder(schema):
    """What turns the content of a message into a dict or a Protobuf message, by nothing but the schema in the file."""
    if schema.encoding == "jsonschema":
        return json.loads
    assert schema.encoding == "protobuf"
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(schema.data).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(schema.name)).FromString


def read(path):
    """{topic: [(schema, time [ns], message, sequence)]} and the metadata records of a file."""
    messages: dict[str, list] = {}
    decoders: dict[int, object] = {}
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        for schema, channel, message in reader.iter_messages():
            assert channel.message_encoding == {"jsonschema": "json"}.get(schema.encoding, schema.encoding)
            assert message.log_time == message.publish_time
            if schema.id not in decoders:
                decoders[schema.id] = decoder(schema)
            content = decoders[schema.id](message.data)
            messages.setdefault(channel.topic, []).append((schema, message.log_time, content, message.sequence))
        metadata = {record.name: record.metadata for record in reader.iter_metadata()}
    return messages, metadata


@pytest.fixture
def logs(tmp_path):
    dataset = Dataset.open(record(tmp_path / "demo"))
    return dataset, export(dataset, "mcap", tmp_path / "logs", progress=False, options={"codec": "png"}).path


def test_every_number_of_every_episode_is_there_at_its_time(logs):
    _, folder = logs
    assert [path.name for path in sorted(folder.iterdir())] == [f"episode_{i:06d}.mcap" for i in range(3)]
    for i, path in enumerate(sorted(folder.iterdir())):
        messages, _ = read(path)
        arrays = make_arrays(LENGTHS[i], i)
        for topic, rows in messages.items():
            assert [time for _, time, _, _ in rows] == [t * 100_000_000 for t in range(LENGTHS[i])], topic
            assert [sequence for *_, sequence in rows] == list(range(LENGTHS[i]))
        state = [[message["x"], message["y"]] for _, _, message, _ in messages["/observation/state"]]
        np.testing.assert_array_equal(np.array(state, np.float32), arrays["observation.state"])
        action = [[message[name] for name in "abc"] for _, _, message, _ in messages["/action"]]
        np.testing.assert_array_equal(np.array(action, np.float32), arrays["action"])
        for name in ("next.reward", "next.terminated", "stage"):
            values = [message["value"] for _, _, message, _ in messages["/" + name.replace(".", "/")]]
            np.testing.assert_array_equal(np.array(values, arrays[name].dtype), arrays[name])
        assert len(messages) == 7


def test_the_schemas_name_every_element_with_its_unit(logs):
    messages, _ = read(logs[1] / "episode_000000.mcap")
    schemas = {name: json.loads(rows[0][0].data) for name, rows in messages.items() if rows[0][0].encoding == "jsonschema"}
    state = schemas["/observation/state"]
    assert state["title"] == "observation.state" and state["type"] == "object"
    assert state["properties"] == {name: {"type": "number", "unit": "m", "description": "[m]"} for name in "xy"}
    assert schemas["/action"]["properties"]["c"]["unit"] == "1"
    assert schemas["/stage"]["properties"] == {"value": {"type": "integer"}}
    assert schemas["/next/terminated"]["properties"] == {"value": {"type": "boolean"}}


def decode(message) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_pictures_are_what_foxglove_documents(logs):
    dataset, folder = logs
    messages, _ = read(folder / "episode_000001.mcap")
    rows = messages["/observation/images/top"]
    assert rows[0][0].name == "foxglove.CompressedImage"
    numbers = {field.name: field.number for field in rows[0][2].DESCRIPTOR.fields}
    assert numbers == {"timestamp": 1, "data": 2, "format": 3, "frame_id": 4}  # of foxglove/CompressedImage.proto
    assert (rows[11][2].timestamp.seconds, rows[11][2].timestamp.nanos) == (1, 100_000_000)
    assert rows[0][2].frame_id == "top" and rows[0][2].format == "png"
    np.testing.assert_array_equal(np.stack([decode(message) for _, _, message, _ in rows]), dataset.frames(TOP, 1))


def test_jpeg_is_nearly_the_picture_and_that_is_said(tmp_path):
    done = export(rich(tmp_path / "demo"), "mcap", tmp_path / "logs", progress=False)
    assert any("JPEG of quality 95; codec=png loses nothing" in sentence for sentence in done.lost)
    messages, _ = read(done.path / "episode_000000.mcap")
    rows = messages["/observation/images/top"]
    assert rows[0][2].format == "jpeg"
    frames = np.stack([decode(message) for _, _, message, _ in rows])
    assert 0 < np.abs(frames.astype(int) - make_images(LENGTHS[0], 0)).mean() < 3
    with pytest.raises(DatasetError, match="codec 'webp' is unknown to MCAP; .*allowed: jpeg, png"):
        export(rich(tmp_path / "demo"), "mcap", tmp_path / "other", progress=False, options={"codec": "webp"})


def test_rate_task_robot_and_features_are_in_a_metadata_record(logs):
    for i, task in enumerate(("push", "lift", "push")):
        _, metadata = read(logs[1] / f"episode_{i:06d}.mcap")
        told = metadata["waldo"]
        assert told["task"] == task and told["robot_type"] == "dummy" and float(told["fps"]) == 10 and int(told["episode"]) == i
        assert json.loads(told["features"])["action"]["units"] == ["rad", "rad", "1"]


def test_recorded_times_that_are_not_even_are_the_times_of_the_messages(tmp_path):
    features = {"timestamp": {"dtype": "float32", "shape": [1], "names": None}, "action": {"dtype": "float32", "shape": [3], "names": None}}
    seconds = np.array([0, 0.13, 0.2, 0.33, 0.4, 0.53, 0.6], np.float32)
    dataset = rich(tmp_path / "demo", features=features, more=lambda i: {"timestamp": seconds} if i == 0 else {})
    dataset = Dataset(dataset._source, episodes=[0])
    messages, _ = read(export(dataset, "mcap", tmp_path / "logs", progress=False).path / "episode_000000.mcap")
    rows = messages["/action"]
    assert [time for _, time, _, _ in rows] == np.round(seconds.astype(np.float64) * 1e9).astype(int).tolist()
    assert list(rows[0][2]) == ["value"] and len(rows[0][2]["value"]) == 3  # no element names: one field
    assert json.loads(rows[0][0].data)["properties"]["value"] == {"type": "array", "items": {"type": "number"}}
