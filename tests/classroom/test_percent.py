"""The percent format: which lines make which cell, and one clear line for what is no such format."""

import pytest

from bert_numpy.classroom.percent import Cell, read_cells

SCRIPT = """
# %% [markdown]
# # Title
#
# Text with `# %%` in it.

# %%
# a comment
x = 1


def f():
    return "# %% not at the start of a line"

# %%

# %%   
# %% [markdown]

#     indented
"""  # noqa: W291


def test_cells_of_a_script():
    assert read_cells(SCRIPT) == [
        Cell("markdown", "# Title\n\nText with `# %%` in it.", 3),
        Cell("code", '# a comment\nx = 1\n\n\ndef f():\n    return "# %% not at the start of a line"', 8),
        Cell("markdown", "    indented", 20),
    ]


def test_the_line_of_a_cell_is_its_first_line_in_the_script():
    lines = SCRIPT.splitlines()
    for cell in read_cells(SCRIPT):
        assert cell.source.splitlines()[0] in lines[cell.line - 1]


def test_line_ends_of_windows():
    assert read_cells(SCRIPT.replace("\n", "\r\n")) == read_cells(SCRIPT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: there is no cell"),
        ("import numpy\n", "line 1: there is no cell"),
        ("\nimport numpy\n# %%\n", "line 2: 'import numpy' stands before the first cell"),
        ("# %%\nx = 1\n# %% [raw]\n", r"line 3: '# %% \[raw\]' is no mark of a cell"),
        ("# %%\n# %%x = 1\n", "line 2: '# %%x = 1' is no mark of a cell"),
        ("# %% [markdown]\n\n# text\nx = 1\n", "line 4: 'x = 1' stands in a Markdown cell"),
        ("# %% [markdown]\n#text\n", "line 2: '#text' stands in a Markdown cell"),
    ],
)
def test_what_is_no_cell_is_named_with_its_line(text, message):
    with pytest.raises(ValueError, match=message):
        read_cells(text)
