"""The Hub's own client against a small server of ours: pull, a pull that is cut off, push, and what is said when it cannot work."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from data import hub
from data.errors import DatasetError
from data.store import Dataset

hub_files = pytest.importorskip("huggingface_hub.file_download")
hub_http = pytest.importorskip("huggingface_hub.utils._http")


class FakeHub:
    """The few answers of https://huggingface.co that a pull and a push need; repositories are dicts of files."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.tags: dict[str, list[str]] = {}
        self.private: dict[str, bool] = {}
        self.fetched: list[str] = []
        self.tokens: set[str] = set()
        self.left = 10**9  # files that are still handed out before the server dies
        self.status = 0  # an error that everything is answered with
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                fake.answer(self, b"")

            def do_POST(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = b""
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fake.answer(self, body)

            do_HEAD = do_DELETE = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def sha(self, repo: str) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for name, content in sorted(self.repos[repo].items()):
            digest.update(name.encode() + content)
        return digest.hexdigest()

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        path = unquote(urlsplit(request.path).path).strip("/")
        self.tokens.add(request.headers.get("Authorization", ""))
        words = path.removeprefix("api/").split("/")
        repo = "/".join(words[1:3])
        if self.status:
            return self.say(request, {"error": "as told"}, self.status)
        if path == "api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else f"me/{asked['name']}"
            self.repos.setdefault(name, {})
            self.private[name] = asked.get("private") is True or asked.get("visibility") == "private"
            return self.say(request, {"url": f"{self.address}/datasets/{name}"})
        if path == "api/validate-yaml":
            known = "license: nonsense" not in json.loads(body)["content"]
            return self.say(
                request, {"errors": [] if known else [{"message": '"license" must be one of ...'}], "warnings": []}, 200 if known else 400
            )
        if repo not in self.repos:
            return self.say(request, {"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        files, sha, rest = self.repos[repo], self.sha(repo), words[3:]
        if path.startswith("datasets/"):
            return self.hand_out(request, files["/".join(rest[2:])], "/".join(rest[2:]), sha)
        if not rest or rest[0] == "revision":
            if rest and rest[1] not in ("main", sha, *self.tags.get(repo, [])):
                return self.say(request, {"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return self.say(request, {"id": repo, "sha": sha, "siblings": [{"rfilename": name} for name in files]})
        if rest[0] == "tree":
            entries = [{"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()} for n, c in files.items()]
            return self.say(request, entries)
        if rest[0] == "preupload":
            wanted = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None} for f in wanted]
            return self.say(request, {"files": modes})
        if rest[0] == "commit":
            self.commit(files, body)
            return self.say(
                request, {"success": True, "commitOid": self.sha(repo), "commitUrl": f"{self.address}/datasets/{repo}/commit/1"}
            )
        if rest[0] == "tag" and request.command == "DELETE":
            if rest[1] not in self.tags.get(repo, []):
                return self.say(request, {"error": "no tag"}, 404, {"X-Error-Code": "RevisionNotFound"})
            self.tags[repo].remove(rest[1])
            return self.say(request, {})
        if rest[0] == "tag":
            self.tags.setdefault(repo, []).append(json.loads(body)["tag"])
            return self.say(request, {})
        raise AssertionError(f"the client asked for {request.command} {request.path}")

    def commit(self, files: dict[str, bytes], body: bytes) -> None:
        import base64

        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                del files[line["value"]["path"]]

    def hand_out(self, request: BaseHTTPRequestHandler, content: bytes, name: str, sha: str) -> None:
        head = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if request.command == "GET":
            if self.left <= 0:
                self.die()
                request.close_connection = True
                return None
            self.left -= 1
            self.fetched.append(name)
        return self.send(request, content, 200, head)

    def die(self) -> None:
        self.server.socket.close()  # nobody is let in any more, and nobody gets an answer

    def say(self, request: BaseHTTPRequestHandler, content: object, status: int = 200, head: dict[str, str] | None = None) -> None:
        self.send(request, json.dumps(content).encode(), status, {"Content-Type": "application/json", **(head or {})})

    def send(self, request: BaseHTTPRequestHandler, content: bytes, status: int, head: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in head.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A Hub of our own, an empty folder of datasets, and no waiting between the client's attempts."""
    server = FakeHub()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("WALDO_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    impatient = SimpleNamespace(sleep=lambda _: None, time=time.time, monotonic=time.monotonic)
    monkeypatch.setattr(hub_http, "time", impatient)
    monkeypatch.setattr(hub_files, "time", impatient)
    yield server
    server.server.shutdown()
    server.server.server_close()


def files_of(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file() and ".cache" not in p.parts}


def test_a_pull_brings_every_file_and_a_second_one_asks_nobody(fake: FakeHub, root: Path, tmp_path: Path) -> None:
    fake.repos["anna/demo"] = files_of(root)
    folder = hub.pull("anna/demo")
    assert folder == tmp_path / "datasets/anna/demo"
    assert files_of(folder) == files_of(root)
    assert [p.name for p in folder.parent.iterdir()] == ["demo"], "nothing but the dataset is left"
    there, pulled = Dataset.open(root), Dataset.open(folder)
    np.testing.assert_array_equal(pulled.table(["action"])["action"], there.table(["action"])["action"])
    asked = len(fake.fetched)
    fake.status = 500
    assert hub.pull("anna/demo") == folder
    assert len(fake.fetched) == asked


def test_a_pull_that_is_cut_off_leaves_no_dataset_and_goes_on_where_it_stopped(
    fake: FakeHub, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.repos["anna/demo"] = files_of(root)
    fake.left = 5
    with pytest.raises(DatasetError, match="run `waldo data pull anna/demo`"):
        hub.pull("anna/demo")
    assert not (tmp_path / "datasets/anna/demo").exists()
    assert len(set(fake.fetched)) == 5
    again = FakeHub()
    again.repos = fake.repos
    monkeypatch.setenv("HF_ENDPOINT", again.address)
    folder = hub.pull("anna/demo")
    assert files_of(folder) == files_of(root)
    assert not set(again.fetched) & set(fake.fetched), "what had arrived is not fetched a second time"
    again.server.server_close()


def test_two_pulls_at_once_fetch_each_file_once(fake: FakeHub, root: Path) -> None:
    fake.repos["anna/demo"] = files_of(root)
    found: list[Path] = []
    pulls = [threading.Thread(target=lambda: found.append(hub.pull("anna/demo"))) for _ in range(2)]
    for pull in pulls:
        pull.start()
    for pull in pulls:
        pull.join(30)
    assert len(found) == 2 and found[0] == found[1]
    assert files_of(found[0]) == files_of(root)
    assert sorted(fake.fetched) == sorted(fake.repos["anna/demo"])
    assert [p.name for p in found[0].parent.iterdir()] == ["demo"]


def test_a_pull_of_a_revision_remembers_it_and_refuses_another(fake: FakeHub, root: Path) -> None:
    fake.repos["anna/demo"] = files_of(root)
    fake.tags["anna/demo"] = ["v3.0"]
    folder = hub.pull("anna/demo", "v3.0")
    assert json.loads((folder / hub.ORIGIN).read_text())["commit"] == fake.sha("anna/demo")
    assert hub.pull("anna/demo", fake.sha("anna/demo")) == folder
    with pytest.raises(DatasetError, match="not revision 'v2.1'"):
        hub.pull("anna/demo", "v2.1")


def test_what_the_hub_does_not_have_is_said_plainly(fake: FakeHub, root: Path, tmp_path: Path) -> None:
    fake.repos["anna/demo"] = files_of(root)
    with pytest.raises(DatasetError, match=r"no dataset 'anna/other' in .*datasets/anna/other.*private"):
        hub.pull("anna/other")
    with pytest.raises(DatasetError, match="not this revision"):
        hub.pull("anna/demo", "v9")
    with pytest.raises(DatasetError, match="looked.zip"):
        hub.pull("anna/other", looked=[tmp_path / "looked.zip"])
    assert not (tmp_path / "datasets").exists(), "a failed question leaves no folder"


def test_offline_says_so_at_once(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DatasetError, match=r"in .*datasets/anna/demo.*HF_HUB_OFFLINE.*`waldo data pull anna/demo`"):
        hub.pull("anna/demo")


@pytest.mark.parametrize("how", ["refused", "silent"])
def test_no_network_is_one_error_within_seconds(fake: FakeHub, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(hub, "PATIENCE", 0.3)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        if how == "silent":
            deaf.listen()  # takes the call and says nothing
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(DatasetError, match=r"cannot be reached.*when online, run `waldo data pull anna/demo`"):
            hub.pull("anna/demo")
    assert time.monotonic() - start < 1.5


def test_a_name_that_never_resolves_is_given_up() -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        hub._within(0.1, lambda: time.sleep(5))
    assert time.monotonic() - start < 1


def test_what_is_pushed_can_be_pulled_and_is_tagged_with_its_version(fake: FakeHub, root: Path) -> None:
    (root / ".cache").mkdir(exist_ok=True)
    (root / ".cache/images.npy").write_bytes(b"large")
    address = hub.push(root, "me/demo", license="cc-by-4.0", private=True)
    assert address == f"{fake.address}/datasets/me/demo"
    assert fake.private["me/demo"] and fake.tags["me/demo"] == ["v3.0"]
    assert "Bearer hf_secret" in fake.tokens
    remote = fake.repos["me/demo"]
    text = remote.pop("README.md").decode()
    assert remote == files_of(root)
    front, body = text.split("---\n", 2)[1:]
    assert "license: cc-by-4.0" in front and "- LeRobot" in front and "data/*/*.parquet" in front
    for part in ("3 episodes", "24 frames at 10 Hz", "- push", "- lift", "x [m] y [m]", "`observation.images.top` | video | 32 × 48 × 3"):
        assert part in body
    assert Dataset.open(hub.pull("me/demo")).num_episodes == 3


def test_pushing_again_removes_what_is_gone_and_moves_the_tag(fake: FakeHub, root: Path) -> None:
    hub.push(root, "me/demo", license="mit")
    fake.repos["me/demo"]["data/chunk-000/file-999.parquet"] = b"of an older version"
    fake.repos["me/demo"]["notes.txt"] = b"the owner's"
    hub.push(root, "me/demo", license="mit")
    assert "data/chunk-000/file-999.parquet" not in fake.repos["me/demo"]
    assert "notes.txt" in fake.repos["me/demo"]
    assert fake.tags["me/demo"] == ["v3.0"]


def test_a_readme_of_the_dataset_keeps_its_words_and_facts(fake: FakeHub, root: Path) -> None:
    (root / "README.md").write_text("---\npretty_name: Mine\ntags:\n- cubes\n---\n# My words\n")
    hub.push(root, "me/demo", license="other")
    text = fake.repos["me/demo"]["README.md"].decode()
    for part in ("pretty_name: Mine", "- cubes", "- LeRobot", "license: other", "# My words"):
        assert part in text
    (root / "README.md").write_text("# Only words\n")
    hub.push(root, "me/demo", license="mit")
    assert fake.repos["me/demo"]["README.md"].decode().startswith("---\nlicense: mit\n")


def test_a_push_without_licence_token_or_a_proper_name_is_refused(fake: FakeHub, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match="license="):
        hub.push(root, "me/demo", license="")
    with pytest.raises(DatasetError, match="wanted user/name"):
        hub.push(root, "demo", license="mit")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(DatasetError, match="hf auth login"):
        hub.push(root, "me/demo", license="mit")
    assert not fake.repos


def test_another_format_is_not_pushed(fake: FakeHub, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dataset, "format", property(lambda _: "Zarr replay buffer (v2)"))
    with pytest.raises(DatasetError, match="is a Zarr replay buffer.*waldo data convert"):
        hub.push(root, "me/demo", license="mit")
    assert not fake.repos


def test_a_licence_that_the_hub_does_not_know_is_refused_before_the_upload(fake: FakeHub, root: Path) -> None:
    with pytest.raises(DatasetError, match='"license" must be one of'):
        hub.push(root, "me/demo", license="nonsense")
    assert fake.repos == {"me/demo": {}}


@pytest.mark.parametrize(("status", "words"), [(401, "logged in|token is not valid"), (403, "token may not"), (503, "answered 503")])
def test_a_refusal_of_the_hub_is_one_line(fake: FakeHub, root: Path, status: int, words: str) -> None:
    fake.status = status
    with pytest.raises(DatasetError, match=words) as refused:
        hub.push(root, "me/demo", license="mit")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://lerobot/pusht", ("lerobot/pusht", None)),
        ("hf://datasets/lerobot/pusht@v2.1", ("lerobot/pusht", "v2.1")),
        ("lerobot/aloha_sim-v2.0", ("lerobot/aloha_sim-v2.0", None)),
        ("pusht", None),
        ("./a/b", None),
        ("a/b/c", None),
        ("/a/b", None),
        ("pusht/replay.zarr.zip", None),
        ("demos/low_dim.hdf5", None),
        ("~/b", None),
        ("../b", None),
    ],
)
def test_ids_of_the_hub_are_told_from_paths(text: str, expected: tuple[str, str | None] | None) -> None:
    assert hub.parse(text) == expected


def test_a_hub_address_that_is_none_is_refused() -> None:
    with pytest.raises(DatasetError, match="hf://user/name"):
        hub.parse("hf://justname")
