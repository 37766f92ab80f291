"""Notebooks: what a cell shows is what Jupyter would show, the same bytes again, and differences that are found.

The oracle of the format is its definition, nbformat 4.5: the keys that each cell and output must have.
"""

import base64
import functools
import json
import re

import pytest

from bert_numpy.classroom.notebook import (
    compare,
    execute,
    execute_apart,
    read_notebook,
    same_picture,
    same_text,
    write_notebook,
)
from bert_numpy.classroom.percent import read_cells
from bert_numpy.visualization import new_figure, png_bytes

SCRIPT = """
# %% [markdown]
# # Title

# %%
import math
from dataclasses import dataclass
print("first"); print("second")

# %%
@dataclass
class Point:
    x: "float"

math.floor(Point(2.5).x)

# %%
y = 3

# %%
None

# %%
y = 3
"""

PICTURE = """
# %%
from bert_numpy.visualization import new_figure
figure = new_figure(2.0)
figure.add_subplot().plot([1, 4, 9])
print("drawn")
figure
"""


def run(script, name="notebook"):
    return execute(read_cells(script), name)


def outputs(notebook):
    return [cell.get("outputs") for cell in notebook["cells"]]


@functools.cache
def drawn(values, height=3.0, **style):
    figure = new_figure(height)
    figure.add_subplot().plot(values, **style)
    return png_bytes(figure)


def keys_of_the_format(notebook):
    """Check a notebook against the definition of nbformat 4.5."""
    assert set(notebook) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert {"name", "display_name"} <= set(notebook["metadata"]["kernelspec"])
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert isinstance(cell["metadata"], dict)
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        if cell["cell_type"] == "markdown":
            assert set(cell) == {"cell_type", "id", "metadata", "source"}
            continue
        assert set(cell) == {"cell_type", "execution_count", "id", "metadata", "outputs", "source"}
        for output in cell["outputs"]:
            if output["output_type"] == "stream":
                assert set(output) == {"output_type", "name", "text"}
            else:
                assert output["output_type"] == "execute_result"
                assert set(output) == {"output_type", "execution_count", "data", "metadata"}
                assert output["execution_count"] == cell["execution_count"]
                assert "text/plain" in output["data"]


# ---- running ----


def test_a_cell_shows_what_it_prints_and_its_last_value():
    notebook = run(SCRIPT)
    stream = {"output_type": "stream", "name": "stdout", "text": ["first\n", "second\n"]}
    value = {"output_type": "execute_result", "execution_count": 2, "metadata": {}, "data": {"text/plain": ["2"]}}
    assert outputs(notebook) == [None, [stream], [value], [], [], []]
    assert [cell.get("execution_count") for cell in notebook["cells"]] == [None, 1, 2, 3, 4, 5]


def test_a_picture_is_shown_beside_its_text():
    ((stream, value),) = outputs(run(PICTURE))
    assert stream["text"] == ["drawn\n"]
    assert value["data"]["text/plain"] == ["<Picture size 800x200 with 1 Axes>"]
    assert base64.b64decode(value["data"]["image/png"]).startswith(b"\x89PNG\r\n")


def test_notebooks_have_the_keys_of_the_format():
    keys_of_the_format(run(SCRIPT))
    keys_of_the_format(run(PICTURE))


def test_cells_run_as_the_main_module_and_leave_ours_alone():
    import sys

    before = sys.modules["__main__"]
    script = "# %%\nimport pickle\nclass A: pass\nprint(__name__, type(pickle.loads(pickle.dumps(A()))) is A)"
    assert outputs(run(script))[0][0]["text"] == ["__main__ True\n"]
    with pytest.raises(ZeroDivisionError):
        run("# %%\n1 / 0")
    assert sys.modules["__main__"] is before


def test_there_is_no_file_as_in_jupyter():
    with pytest.raises(NameError):
        run("# %%\n__file__")


# ---- a process of its own ----


def test_a_process_of_its_own_in_an_empty_folder_with_warnings_as_errors(tmp_path):
    script = tmp_path / "one.py"
    script.write_text(
        "# %%\nimport os, sys, warnings\nprint(os.listdir(), sys.warnoptions, 'pytest' in sys.modules)\n"
        "print('√')\nprint('not shown', file=sys.stderr)\n",
        encoding="utf-8",
    )
    ((stream,),) = outputs(execute_apart(script))
    assert stream["text"] == ["[] ['error'] False\n", "√\n"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "x = 1\nx / 0",
            r"one\.py: failed\n[^$]*one\.py, cell 2.*line 6, in <module>\n    x / 0\n[^$]*ZeroDivisionError",
        ),
        ("import warnings\nwarnings.warn('old')", "UserWarning: old"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("x = (", r"line 5\n    x = \(\n"),
        ("import os\nos._exit(3)", "failed"),
    ],
)
def test_a_cell_that_fails_is_named(tmp_path, code, message):
    script = tmp_path / "one.py"
    script.write_text(f"# %%\nprint(1)\n\n# %%\n{code}\n")
    with pytest.raises(RuntimeError, match=message):
        execute_apart(script)


def test_a_script_that_does_not_end_is_ended(tmp_path):
    script = tmp_path / "one.py"
    script.write_text("# %%\nwhile True: pass\n")
    with pytest.raises(RuntimeError, match=r"one\.py: not finished after 0\.5 s"):
        execute_apart(script, 0.5)


# ---- files ----


def test_the_same_bytes_again(tmp_path):
    for name in ("a", "b"):
        write_notebook(run(SCRIPT + PICTURE), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert b"\r" not in (tmp_path / "a").read_bytes()
    assert read_notebook(tmp_path / "a") == run(SCRIPT + PICTURE)


def test_ids_follow_the_source_not_the_place():
    ids = {"".join(cell["source"]): cell["id"] for cell in run(SCRIPT)["cells"]}
    moved = {"".join(cell["source"]): cell["id"] for cell in run("# %%\nz = 0\n" + SCRIPT)["cells"]}
    assert {source: moved[source] for source in ids} == ids


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "no JSON"), ("[]", "not a notebook"), (json.dumps({"nbformat": 4, "nbformat_minor": 4}), "not a notebook")],
)
def test_what_is_no_notebook_is_refused(tmp_path, content, message):
    (tmp_path / "a.ipynb").write_text(content)
    with pytest.raises(ValueError, match=rf"a\.ipynb: {message}"):
        read_notebook(tmp_path / "a.ipynb")


# ---- comparing ----


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss 2.345", "loss 2.346"),
        ("loss 2.345", "loss 2.36"),  # 1 %
        ("0.01", "0.02"),  # one unit of the last digit
        ("-0.00", "0.00"),
        ("1.2e-10", "1.3e-10"),
        ("9.99 |", "10.00|"),
        ("[ 0.1 -0.2]", "[0.1  -0.2]"),
        ("[1. 2.]", "[1. 2.01]"),
        ("12 of 30\n", "12 of 30"),
    ],
)
def test_rounding_is_no_difference(old, new):
    assert same_text(old, new)
    assert same_text(new, old)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss 2.345", "loss 2.9"),
        ("loss 2.345", "cost 2.345"),
        ("0.01", "0.03"),
        ("12 of 30", "13 of 30"),
        ("1000000", "1000001"),
        ("1.2e-10", "1.2e-9"),
        ("0.5", "-0.5"),
        ("0.5", "nan"),
        ("True", "False"),
        ("0.5 0.5", "0.5"),
        ("(3, 4)", "(3, 4, 5)"),
        ("a b", "b a"),
        ("", "0.0"),
    ],
)
def test_more_than_rounding_is_a_difference(old, new):
    assert not same_text(old, new)
    assert not same_text(new, old)


def test_pictures_may_differ_as_two_renderers_do():
    line = (1, 4, 9, 16)
    assert same_picture(drawn(line), drawn(line))
    assert same_picture(drawn(line), drawn(line, antialiased=False))
    assert same_picture(drawn(line), drawn((1, 4.02, 9, 16)))


@pytest.mark.parametrize(
    "other",
    [
        {"values": (1, 4, 9, 16), "height": 3.01},
        {"values": (1, 4, 9, 18)},
        {"values": (1, 5, 9, 16)},
        {"values": (1, 4, 9, 16), "linestyle": "none"},
        {"values": (1, 4, 9, 16), "color": "#D55E00"},
    ],
)
def test_pictures_that_look_different_are_told_apart(other):
    assert not same_picture(drawn((1, 4, 9, 16)), drawn(**other))


def test_a_notebook_equals_itself_and_every_change_is_named():
    old = run(SCRIPT)
    assert compare(old, run(SCRIPT)) == []
    changes = [
        ("# # Title", "# # Other", ["cell 1: the source is not the same: # Title -> # Other"]),
        ("\n# %%\nNone\n", "", ["cell 5: the source is not the same: None -> y = 3"]),
        ("# %%\nNone", "# %% [markdown]\n# None", ["cell 5: it was code, and now it is markdown"]),
    ]
    for before, after, expected in changes:
        script = SCRIPT.replace(before, after)
        assert compare(old, run(script))[: len(expected)] == expected
    assert compare(old, run(SCRIPT + "# %%\n0")) == ["there were 6 cells, and now there are 7"]


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("print('a', 1)", "print('a', 2)", "the output is not the same: a 1 -> a 2"),
        ("print('a')\nprint(1)", "print('a')", "the output is not the same: 1 -> (nothing)"),
        ("5", "6", "the output is not the same: 5 -> 6"),
        ("print(5)", "5", "it does not show the same kinds of output"),
        (PICTURE[6:], PICTURE[6:].replace("9", "1"), "the picture is not the same"),
    ],
)
def test_outputs_that_differ_are_named(old, new, difference):
    old, new = run(f"# %%\n{old}"), run(f"# %%\n{new}")
    new["cells"][0]["source"] = old["cells"][0]["source"]
    assert compare(old, new) == [f"cell 1: {difference}"]


def test_metadata_that_differ_are_named():
    old, new = run(SCRIPT), run(SCRIPT)
    new["metadata"] = {}
    assert compare(old, new) == ["the notebook's metadata are not the same"]
