"""Commands of two words, `waldo data ACTION`: what is typed reaches the action as it was typed, and mistakes are one line."""

import sys
from pathlib import Path

import pytest

from data.results import read_summary
from tests.test_cli import COMMAND, CONFIG, toy
from waldo import cli

__all__ = ["toy"]  # a fixture: the command line over a folder of our own


@pytest.fixture
def action(toy, tmp_path, monkeypatch):
    """A command of two words, `data toy`, that takes one path, and `data join`, which takes several."""
    import waldo.dataset

    for name in ("toy", "join"):
        source = tmp_path / "commands" / "dataset" / f"{name}.py"
        source.parent.mkdir(exist_ok=True)
        source.write_text(COMMAND)
        (tmp_path / "configs" / "dataset").mkdir(exist_ok=True)
        option = "paths: ??? # which" if name == "join" else "path: ??? # which"
        (tmp_path / "configs" / "dataset" / f"{name}.yaml").write_text(f"{CONFIG}{option}\ndataset: ''\n")
    (tmp_path / "commands" / "dataset" / "__init__.py").write_text('"""Do things with recordings."""\n')
    monkeypatch.setattr(waldo.dataset, "__path__", [str(tmp_path / "commands" / "dataset")])
    yield lambda *words: cli.main(["data", *words])
    sys.modules.pop("waldo.dataset.toy", None)
    sys.modules.pop("waldo.dataset.join", None)


def test_a_command_of_two_words_is_a_command_like_any_other(action, capsys):
    assert action("toy", "rec", "steps=3", "policy=bc", "dataset=new", "out=here") == 0
    text = capsys.readouterr().out
    for expected in ("'path': 'rec'", "'steps': 3", "'dataset': 'new'", "'policy': {'_target_': 'waldo.toy.Net'}"):
        assert expected in text
    command, provenance, _ = read_summary(Path("here"))
    assert command == "data toy"
    assert provenance["command_line"] == "waldo data toy rec steps=3 policy=bc dataset=new out=here"
    assert action("toy", "rec") == 0
    assert Path(capsys.readouterr().out.splitlines()[-1]).parent == Path("outputs/data_toy")
    assert action("toy", "rec", "--cfg") == 0
    assert "path: rec" in capsys.readouterr().out


def test_a_sweep_of_a_command_of_two_words(action, capsys):
    assert action("toy", "-m", "my rec, the [2nd]", "seed=1,2", "policy=bc,flow", "out=here") == 0
    text = capsys.readouterr().out
    assert text.count("'path': 'my rec, the [2nd]'") == 4
    command, provenance, figures = read_summary(Path("here"))
    assert (command, sorted(f.value for f in figures)) == ("data toy", [1.5, 1.5, 2.5, 2.5])
    assert provenance["command_line"] == "waldo data toy 'my rec, the [2nd]' seed=1,2 policy=bc,flow out=here -m"


@pytest.mark.parametrize(
    "path",
    [
        "a b",
        "a,b",
        "[a]",
        "{a: b}",
        "it's",
        'say "a"',
        "./a=b",
        "/x/fps=10/y",
        "(a)",
        "back\\slash",
        "end\\",
        "007",
        "1e3",
        "null",
        "~/rec",
        "ä#",
        "$a",
    ],
)
def test_a_path_without_its_key_is_taken_as_typed(action, capsys, path):
    assert action("toy", path) == 0
    assert f"'path': {path!r}" in capsys.readouterr().out
    assert action("join", path, "seed=1", "b") == 0
    assert f"'paths': [{path!r}, 'b']" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["toy", "path=2024"], "'path': '2024'"),
        (["toy", "path='a b'"], "'path': 'a b'"),
        (["join", "paths=[a,2024]"], "'paths': ['a', '2024']"),
        (["join", "paths=a"], "'paths': ['a']"),
    ],
)
def test_a_path_with_its_key_is_text_too(action, capsys, words, expected):
    assert action(*words) == 0
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["toys"], "waldo data ACTION: there is no action 'toys'; did you mean 'toy'? allowed: join, toy"),
        (["toys", "--help"], "did you mean 'toy'?"),
        (["dataset/toy"], "there is no action 'dataset/toy'"),
        (["toy"], "not said, and there is no default: path=..."),
        (["toy", "a", "b"], "one path is wanted, found 'a' and 'b'"),
        (["toy", "a", "path=b"], "path is said twice: a and path=b"),
        (["toy", "a", "stps=3"], "unknown option 'stps'; did you mean 'steps'?"),
        (["toy", "a", "policy=flwo"], "policy=flwo: there is no such policy"),
        (["toy", "path=a,b"], "add -m"),
    ],
)
def test_bad_input_to_a_command_of_two_words_is_one_clear_line(action, capsys, words, expected):
    assert action(*words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert expected in error


def test_a_family_lists_its_actions_and_is_listed_among_the_commands(action, capsys):
    assert action() == 2, "as `waldo` alone: nothing was asked for"
    alone = capsys.readouterr().out
    assert action("--help") == 0
    assert capsys.readouterr().out == alone
    assert "Do things with recordings." in alone
    assert [line.split(maxsplit=1) for line in alone.splitlines() if "Do nothing" in line] == [
        ["join", "Do nothing, well."],
        ["toy", "Do nothing, well."],
    ]
    assert cli.main(["--help"]) == 0
    assert "\n  data  Do things with recordings." in capsys.readouterr().out
    assert cli.main(["dataset/toy"]) == 2
    assert cli.main(["dat"]) == 2
    assert "did you mean 'data'?" in capsys.readouterr().err


def test_the_manual_of_an_action(action, capsys):
    assert action("toy", "--help") == 0
    text = capsys.readouterr().out
    for expected in (
        "usage: waldo data toy PATH [option",
        "path: ??? # which",
        "outputs/data_toy/<time>",
        "`waldo data toy policy=NAME --help`",
    ):
        assert expected in text
    assert action("join", "--help") == 0
    assert "usage: waldo data join PATH PATH ... [option" in capsys.readouterr().out
