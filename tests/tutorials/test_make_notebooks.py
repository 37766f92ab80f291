"""The script that makes the notebooks: it writes, it checks, and it says what is wrong, with the right exit code."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tutorials" / "make_notebooks.py"


@pytest.fixture
def maker(tmp_path, monkeypatch):
    """The script as a module, at work in a folder of its own that holds one tutorial."""
    spec = importlib.util.spec_from_file_location("make_notebooks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    (tmp_path / "01_one.py").write_text("# %%\nprint('one', 1.5)\n")
    (tmp_path / "figure.py").write_text("no tutorial")
    return module


def test_what_was_made_passes_the_check_and_what_changed_does_not(maker, tmp_path, capsys):
    assert maker.main(["--check"]) == 1
    assert "there is no notebook" in capsys.readouterr().out
    assert maker.main([]) == 0
    made = (tmp_path / "01_one.ipynb").read_bytes()
    assert maker.main(["01_one", "--check"]) == 0
    (tmp_path / "01_one.py").write_text("# %%\nprint('one', 1.6)\n")
    assert maker.main(["--check"]) == 1
    assert "cell 1: the source is not the same: print('one', 1.5) -> print('one', 1.6)" in capsys.readouterr().out
    assert (tmp_path / "01_one.ipynb").read_bytes() == made


def test_a_tutorial_that_fails_keeps_its_notebook(maker, tmp_path, capsys):
    (tmp_path / "01_one.ipynb").write_text("old")
    (tmp_path / "01_one.py").write_text("# %%\nassert 1 == 2\n")
    assert maker.main([]) == 1
    assert "AssertionError" in capsys.readouterr().out
    assert (tmp_path / "01_one.ipynb").read_text() == "old"


def test_a_notebook_that_is_too_large_is_reported(maker, monkeypatch, capsys):
    monkeypatch.setattr(maker, "LARGEST", 100)
    assert maker.main([]) == 1
    assert "more than 100: make its pictures smaller" in capsys.readouterr().out


def test_an_unknown_name_is_a_usage_error(maker, capsys):
    with pytest.raises(SystemExit) as exit:
        maker.main(["02_two"])
    assert exit.value.code == 2
    assert "there is no tutorial '02_two'; there are 01_one" in capsys.readouterr().err
