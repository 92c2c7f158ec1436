"""Datasets of the Hugging Face Hub: `pull("lerobot/pusht")` and `push("datasets/mine", "me/mine", license="cc-by-4.0")`.

A pull grows in a folder of its own beside the final one and is renamed when every file is there, so that half a dataset
never looks like one; a pull that was cut off keeps the files that had arrived. Without a network both say so within seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from data.durable import fsync_folder, lock_folder, make_folder, replacing, temporary_of
from data.errors import DatasetError
from data.hub_card import card
from data.lerobot import layout
from data.lookup import datasets_folder
from data.store import Dataset

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PATIENCE = 3.0  # how long the Hub may take to answer at all [s]
SCHEME = "hf://"
ORIGIN = f"{layout.CACHE}/hub.json"  # which commit a pulled folder is
LOCAL = [".*", "*/.*", "images/*", "*.tmp"]  # what a push leaves at home: caches, temporaries, pictures that wait to be encoded
_WORD = r"[A-Za-z0-9](?:[\w.-]{0,94}\w)?"
_ID = re.compile(rf"({_WORD}/{_WORD})(?:@([\w./-]+))?")
_FILES = (".zarr", ".zip", ".hdf5", ".h5", ".mcap", ".parquet", ".json", ".yaml", ".npz")  # an id does not end like this
Result = TypeVar("Result")


def parse(text: str) -> tuple[str, str | None] | None:
    """`hf://user/name`, `hf://datasets/user/name@v3.0`, `user/name` -> (repository, revision); None where it is no such id.

    Raises DatasetError for hf:// followed by something else.
    """
    rest = text.removeprefix(SCHEME).removeprefix("datasets/") if text.startswith(SCHEME) else text
    match = _ID.fullmatch(rest)
    if match and (text.startswith(SCHEME) or not rest.endswith(_FILES)):
        return match[1], match[2]
    if text.startswith(SCHEME):
        raise DatasetError(f"{text!r} is no dataset of the Hub; allowed: {SCHEME}user/name, {SCHEME}user/name@revision")
    return None


def pull(repo_id: str, revision: str | None = None, looked: Sequence[Path] = ()) -> Path:
    """The folder `<datasets>/user/name`, downloaded if it is not there yet; a download that was cut off goes on.

    repo_id    user/name
    revision   branch, tag or commit; None takes the folder as it is, or else the newest
    looked     where the caller looked before, for the message

    Raises DatasetError if there is no such dataset, no network, or the folder holds another revision.
    """
    target = datasets_folder() / repo_id
    if target.exists():
        return _already(target, repo_id, revision)
    growing, places = temporary_of(target), " and ".join(map(str, looked or [target]))
    with _spoken(f"no dataset {repo_id!r} in {places}, and it was not fetched", f"waldo data pull {repo_id}"):
        from huggingface_hub import snapshot_download

        api = _api()
        # Asked by name, snapshot_download takes an unreachable Hub and a half-filled folder for success; by commit it does not.
        commit = _within(PATIENCE, lambda: api.repo_info(repo_id, repo_type="dataset", revision=revision, timeout=PATIENCE)).sha
        make_folder(growing)
        lock = lock_folder(growing, wait=True)  # a second pull waits for the first, and then finds its result
        try:
            if target.exists():
                return _already(target, repo_id, revision)
            snapshot_download(repo_id, repo_type="dataset", revision=commit, local_dir=growing, endpoint=api.endpoint)
            shutil.rmtree(growing / layout.CACHE / "huggingface", ignore_errors=True)
            with replacing(growing / ORIGIN) as file:
                file.write_text(json.dumps({"repo": repo_id, "revision": revision, "commit": commit}, indent=2) + "\n", encoding="utf-8")
            for path in growing.rglob("*"):
                if path.is_file():
                    with path.open("rb") as content:
                        os.fsync(content.fileno())
            growing.rename(target)
            fsync_folder(target.parent)
        finally:
            os.close(lock)
            with contextlib.suppress(OSError):  # gone, or holds what has arrived
                growing.rmdir()
    return target


def push(root: str | os.PathLike[str], repo_id: str, license: str, private: bool = False) -> str:
    """Upload a LeRobot dataset with its card and the tag of its version; returns its address.

    root       path or name of the dataset; its own README.md is kept as the card's text
    license    as the Hub writes it: "apache-2.0", "cc-by-4.0", ...; "other" where none fits
    private    of a repository that is new; an existing one stays as it is

    An upload that was cut off goes on when it is repeated; files that are no longer in the dataset are removed from the Hub.
    Raises DatasetError if the dataset is malformed or in another format, or the Hub refuses.
    """
    if not license:
        raise DatasetError(
            "a published dataset needs a licence: give license=cc-by-4.0 or another identifier of the Hub (https://hf.co/docs/hub/repositories-licenses)"
        )
    if not _ID.fullmatch(repo_id) or "@" in repo_id:
        raise DatasetError(f"{repo_id!r} cannot be the name of a dataset on the Hub; wanted user/name of letters, digits, '-', '_', '.'")
    dataset = Dataset.open(root)
    if not dataset.format.startswith("LeRobotDataset"):
        raise DatasetError(f"{dataset.root} is a {dataset.format}; only LeRobot datasets are pushed, so run `waldo data convert` first")
    version = dataset.format.split()[-1]
    from huggingface_hub import get_token
    from huggingface_hub.errors import RepositoryNotFoundError

    if get_token() is None:
        raise DatasetError(
            "no token of the Hugging Face Hub; make one that may write (https://hf.co/settings/tokens), then run `hf auth login` or set HF_TOKEN"
        )
    with _spoken(f"{dataset.root} was not pushed to {repo_id}", f"waldo data push {dataset.root} repo={repo_id} license={license}"):
        api = _api()
        try:
            _within(PATIENCE, lambda: api.repo_info(repo_id, repo_type="dataset", timeout=PATIENCE))
        except RepositoryNotFoundError:
            api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        # The card goes first: a licence that the Hub does not know is refused before anything large is sent.
        api.upload_file(
            path_or_fileobj=card(dataset, repo_id, license).encode(), path_in_repo="README.md", repo_id=repo_id, repo_type="dataset"
        )
        api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=dataset.root,
            ignore_patterns=[*LOCAL, "README.md"],
            delete_patterns=["meta/*", "data/*", "videos/*"],
            commit_message=f"{dataset.num_episodes} episodes, {dataset.num_frames} frames",
        )
        _tag(api, repo_id, version)  # last: lerobot takes what the tag of its version points to
    return f"{api.endpoint}/datasets/{repo_id}"


def _already(target: Path, repo_id: str, revision: str | None) -> Path:
    """A folder that is there is taken as it is, unless another revision is asked for."""
    if revision is not None:
        origin = layout.read_json(target / ORIGIN, f"{target} was not pulled from the Hub") if (target / ORIGIN).exists() else {}
        if revision not in (origin.get("revision"), origin.get("commit")):
            held = f"commit {origin['commit']}" if origin else "of unknown origin"
            raise DatasetError(f"{target} is {held}, not revision {revision!r} of {repo_id}; move it away and pull again")
    return target


def _tag(api: HfApi, repo_id: str, version: str) -> None:
    from huggingface_hub.errors import RevisionNotFoundError

    with contextlib.suppress(RevisionNotFoundError):
        api.delete_tag(repo_id, tag=version, repo_type="dataset")
    api.create_tag(repo_id, tag=version, repo_type="dataset")


def _api() -> HfApi:
    """Raises DatasetError when going online was forbidden; the environment is read now, not when the library was imported."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES:
        raise DatasetError("HF_HUB_OFFLINE=1 forbids going online")
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="waldo")


def _within(seconds: float, call: Callable[[], Result]) -> Result:
    """The result of a call, or TimeoutError: looking up a name can hang for longer than any time-out of a socket."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return results[0]


@contextlib.contextmanager
def _spoken(failure: str, again: str) -> Iterator[None]:
    """What the Hub's client raises, said in one sentence. failure: what did not happen; again: the command to repeat."""
    from huggingface_hub import errors

    transport = cast(
        type[Exception], errors.HfHubHTTPError.__bases__[0]
    )  # HTTPError of the HTTP library that this version of the client uses
    later = f"when online, run `{again}`"
    try:
        yield
    except DatasetError as error:
        raise DatasetError(f"{failure}: {error}; {later}") from None
    except errors.GatedRepoError as error:
        raise DatasetError(f"{failure}: its owner asks you to accept conditions on its page first, and then for `hf auth login`") from error
    except errors.RepositoryNotFoundError as error:
        raise DatasetError(
            f"{failure}: the Hub has no such dataset, or it is private and you are not logged in (`hf auth login`)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DatasetError(f"{failure}: the Hub has the dataset, but not this revision") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        reason = {401: "the token is not valid", 403: "the token may not do this"}.get(status, "")
        raise DatasetError(
            f"{failure}: the Hub answered {status}{f', {reason}' if reason else ''} ({_line(error)}); run `{again}` again"
        ) from error
    except (transport, errors.LocalEntryNotFoundError, TimeoutError, ConnectionError) as error:
        raise DatasetError(f"{failure}: the Hugging Face Hub cannot be reached ({_line(error)}); {later}") from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"{failure}: {_line(error)}; what has arrived is kept, run `{again}` again") from error


def _line(error: BaseException) -> str:
    """A message of the client, which may have many lines, as one."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if len(text) < 300 else text[:297] + "...").rstrip(" .")
