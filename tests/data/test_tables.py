"""Cells and columns as they stand in the file."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_numpy.data import LabelMap, load_dataset, read_classification, read_regression, read_table, read_texts

PAIR, HI = {"text": "a", "text_pair": "b", "label": 0}, {"text": "hi", "label": 0}
ODD = [
    "",
    " ",
    "a",
    '"',
    'say "hi',
    "a,b",
    "a\tb",
    "a\u2028b",
    "a\x0cb",
    "a\x85b",
    "x\ny",
    "\r\n",
    "é",
    "'",
    "\ufeff",
    "NULL",
]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@given(
    st.lists(st.tuples(st.sampled_from(ODD), st.sampled_from(ODD)), min_size=1, max_size=5),
    st.sampled_from(["\n", "\r\n"]),
)
@settings(deadline=None)
def test_csv_is_read_as_the_standard_library_writes_it(tmp_path_factory: Any, rows: Any, end: str) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    path = write(tmp_path_factory.mktemp("csv"), "a.csv", buffer.getvalue())
    table = read_table(path)
    assert table.rows == [list(row) for row in rows]
    ends = [sum(cell.count("\n") for cell in row) + 1 for row in rows]
    assert table.lines == [2 + sum(ends[:i]) for i in range(len(rows))]


def test_tsv_has_as_many_rows_as_lines(tmp_path: Path) -> None:
    lines = [
        "label\ttext",
        'ham\t"swallows',
        "spam\tnext rows",
        'ham\t"',
        "ham\ta\u2028b\x0cc\x85d",
        "ham\t",
        'spam\ta""b',
    ]
    for end in ("\n", "\r\n"):
        for last in ("", end):
            path = write(tmp_path, "a.tsv", "\ufeff" + end.join(lines) + last)
            table = read_table(path)
            assert ["\t".join(row) for row in table.rows] == lines[1:]
            assert table.columns == ["label", "text"]
            assert table.lines == [2, 3, 4, 5, 6, 7]


def test_a_lone_carriage_return_is_no_line_end(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a.tsv", "a\tb\nx\ry\tz\n")).rows == [["x\ry", "z"]]
    with pytest.raises(
        ValueError, match=r"a\.csv, line 2: holds a carriage return outside quotes; save the file with line feeds"
    ):
        read_table(write(tmp_path, "a.csv", "a,b\nx\ry,z\n"))


def test_lines_with_nothing_in_them_are_passed_over(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a.csv", "\na,b\n\n1,2\n\n\n")).lines == [4]
    assert read_table(write(tmp_path, "a.jsonl", '\r\n{"a": 1}\r\n\r\n{"a": 2}')).lines == [2, 4]
    assert read_table(write(tmp_path, "a.txt", "one\n\n two \n")).rows == [["one"], [" two "]]


def test_a_cell_holds_a_whole_book(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    path = write(tmp_path, "a.csv", f'text,label\n"{"word, " * limit}",x\n')
    assert len(read_classification(path)["text"][0]) == 6 * limit
    assert csv.field_size_limit() == limit


def test_reading_takes_linear_time(tmp_path: Path) -> None:
    """A quadratic step over these would take minutes."""
    for cell in ("9" * 10**6 + "x", "a" * 10**6, '""' * 10**6, "x\ry" * 10**6):
        write(tmp_path, "a.csv", f'text,label\n"{cell}",1\n')
        assert len(load_dataset("csv", data_files=tmp_path / "a.csv", split="train")["text"][0]) >= 10**6
    write(tmp_path, "b.csv", "a" * 10**6)
    assert len(read_table(tmp_path / "b.csv", header=False).rows[0][0]) == 10**6


def test_another_encoding(tmp_path: Path) -> None:
    for encoding in ("latin-1", "utf-16", "cp1252", "utf-8-sig"):
        path = write(tmp_path, "a.csv", "text,label\nGrüße,ja\n".encode(encoding))
        assert read_classification(path, encoding=encoding)[0] == {"text": "Grüße", "label": 0}


def test_load_dataset_has_numbers_where_all_cells_are(tmp_path: Path) -> None:
    head = "text,label,score,zip,mixed\n"
    write(tmp_path, "a.csv", head + "1,0,0.5,+12,1\n2,-1,1e3,7,x\n")
    write(tmp_path, "b.csv", head + f"x,2,.5,{'9' * 19},1\n")
    files = {"train": str(tmp_path / "a.csv"), "all": [tmp_path / "a.csv", tmp_path / "b.csv"]}
    parts = load_dataset("csv", data_files=files)
    assert parts["train"][:] == {
        "text": [1, 2], "label": [0, -1], "score": [0.5, 1000.0], "zip": [12, 7], "mixed": ["1", "x"]
    }  # fmt: skip
    assert parts["all"]["text"] == ["1", "2", "x"]
    assert parts["all"]["label"] == [0, -1, 2]
    assert isinstance(parts["all"]["zip"][0], float)
    assert load_dataset("csv", data_files=files, split="train").column_names == [
        "text",
        "label",
        "score",
        "zip",
        "mixed",
    ]
    assert load_dataset("csv", data_files=tmp_path / "b.csv")["train"].num_rows == 1
    assert load_dataset("csv", data_files=[tmp_path / "a.csv"] * 2, split="train")["label"] == [0, -1, 0, -1]
    assert load_dataset("text", data_files=str(tmp_path / "a.csv"), split="train")["text"][1] == "1,0,0.5,+12,1"
    plain = write(tmp_path, "c.csv", "a;1\nb;2\n")
    named = load_dataset("csv", data_files=plain, split="train", delimiter=";", column_names=["text", "label"])
    assert named[:] == {"text": ["a", "b"], "label": [1, 2]}


def test_load_dataset_of_json_keeps_its_types(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "1", "label": 1, "words": ["a"]}\n{"text": "b", "more": null}\n')
    dataset = load_dataset("json", data_files=path, split="train")
    assert dataset[:] == {"text": ["1", "b"], "label": [1, None], "words": [["a"], None], "more": [None, None]}


@pytest.mark.parametrize(
    ("name", "content", "keywords", "first"),
    [
        ("a.csv", "text,label\na,1\n", {}, {"text": "a", "label": 0}),
        ("a.csv", "id,Sentence,LABEL\n7,a,x\n", {}, {"text": "a", "label": 0}),
        ("a.csv", "id,sentence2,sentence1,gold_label\n7,b,a,x\n", {}, {"text": "a", "text_pair": "b", "label": 0}),
        ("a.csv", "premise,hypothesis,label\na,b,x\n", {}, {"text": "a", "text_pair": "b", "label": 0}),
        ("a.csv", " Text , label\na,x\n", {}, {"text": "a", "label": 0}),
        ("a.csv", "id,TEXT,Text,label\n7,a,b,x\n", {}, {"text": "a", "label": 0}),
        ("a.csv", "text,sentence\nx,a\n", {"label_column": "text"}, {"text": "a", "label": 0}),
        ("a.csv", "question,label\na,x\n", {}, {"text": "a", "label": 0}),
        ("a.csv", "text,sentence1,sentence2,label\nt,a,b,x\n", {"text_column": "text"}, {"text": "t", "label": 0}),
        ("a.csv", "Label,SMS x\nham,hi\n", {}, {"text": "hi", "label": 0}),
        ("a.csv", "body,kind,n\nhi,ham,1\n", {"text_column": "body", "label_column": "kind"}, HI),
        ("a.tsv", "gj04\t1\t\tHe left.\n", {"text_column": 3, "label_column": 1}, {"text": "He left.", "label": 0}),
        ("a.tsv", "label\ttext\n", {"text_column": 1, "label_column": 0}, {"text": "text", "label": 0}),
        ("a.tsv", "x\ty\nham\ta\n", {"text_column": 1, "label_column": 0, "header": True}, {"text": "a", "label": 0}),
        ("a.csv", "x,a,b\n", {"text_column": 1, "text_pair_column": 2, "label_column": 0}, PAIR),
        ("a.dat", "text|label\na|x\n", {"format": "tsv", "delimiter": "|"}, {"text": "a", "label": 0}),
        ("a.jsonl", '{"label": true, "text": "a", "more": {}}', {}, {"text": "a", "label": 0}),
        ("a.json", '{"label": 5, "text": "a"}', {"labels": [*"012345"]}, {"text": "a", "label": 5}),
    ],
)  # fmt: skip
def test_columns_are_found(tmp_path: Path, name: str, content: str, keywords: Any, first: Any) -> None:
    assert read_classification(write(tmp_path, name, content), **keywords)[0] == first


def test_labels_of_the_training_data_number_those_of_others(tmp_path: Path) -> None:
    train = read_classification(write(tmp_path, "train.csv", "text,label\na,b\nb, c \nc,a\nd,b\n"))
    assert train["label"] == [1, 2, 0, 1]
    test = write(tmp_path, "test.csv", "text,label\na,c\n")
    for labels in (train.labels, train.labels.label2id, train.labels.id2label, train.labels.names):
        assert read_classification(test, labels=labels)["label"] == [2]
    assert read_classification(test)["label"] == [0]
    fresh = write(tmp_path, "fresh.csv", "text,label\na,2\n")
    assert read_classification(fresh, labels=LabelMap.numbered(3))["label"] == [2]


def test_regression(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "sentence1\tsentence2\tscore\na\tb\t5.000\nc\td\t-1e-2\n")
    assert read_regression(path)[:] == {"text": ["a", "c"], "text_pair": ["b", "d"], "label": [5.0, -0.01]}
    assert np.asarray(read_regression(path)["label"]).dtype == np.float64
    path = write(tmp_path, "a.jsonl", '{"text": "a", "score": 3}')
    assert read_regression(path)["label"] == [3.0]


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("a.txt", "one, two\nthree\n", {"text": ["one, two", "three"]}),
        ("a.tsv", "one\nthree\n", {"text": ["one", "three"]}),
        ("a.tsv", "text\none\n", {"text": ["one"]}),
        ("a.csv", "id,text\n1,one\n", {"text": ["one"]}),
        ("a.csv", "question,context\none,two\n", {"text": ["one"], "text_pair": ["two"]}),
        ("a.jsonl", '{"text": "one"}', {"text": ["one"]}),
    ],
)
def test_texts_without_labels(tmp_path: Path, name: str, content: str, texts: Any) -> None:
    assert read_texts(write(tmp_path, name, content))[:] == texts
