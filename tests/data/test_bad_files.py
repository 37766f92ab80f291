"""Every message about a file, once: what is in the file, and the one line that says what is wrong with it."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bert_numpy.data import (
    LabelMap,
    load_dataset,
    read_classification,
    read_conll,
    read_multiple_choice,
    read_regression,
    read_squad,
    read_swag,
    read_table,
    read_texts,
)

AN_OBJECT = 'an object such as {"text": "…", "label": 0}; every line must be one'
NAMED = {"labels": ["ham", "spam"]}
NUMBERED = {"labels": LabelMap.numbered(2)}
SWAG = b"sent1,sent2,ending0,ending1,ending2,ending3,label\n"


def squad(**changes: Any) -> bytes:
    question = {"id": "q1", "question": "Where?", "answers": [{"text": "Rome", "answer_start": 3}], **changes}
    return json.dumps({"data": [{"paragraphs": [{"context": "In Rome.", "qas": [question]}]}]}).encode()


TABLES = [
    # bytes that are no text
    ("a.csv", b"", {}, "is empty"),
    ("a.csv", b"\xef\xbb\xbf\r\n \r\n", {}, "is empty"),
    (
        "a.tsv",
        b"label\ttext\nham\tcaf\xe9\n",
        {},
        ", line 2: byte 18 of the file, 0xe9, is not utf-8; save it as UTF-8, or give the encoding it has, such as "
        "encoding='latin-1' or 'gb18030'",
    ),
    (
        "a.csv",
        "label,text\n".encode("utf-16"),
        {},
        ", line 1: byte 0 of the file, 0xff, is not utf-8; save it as UTF-8, or give the encoding it has, such as "
        "encoding='utf-16'",
    ),
    (
        "a.csv",
        "a\nü".encode(),
        {"encoding": "ascii"},
        ", line 2: byte 2 of the file, 0xc3, is not ascii; save it as UTF-8, or give the encoding it has, such as "
        "encoding='latin-1' or 'gb18030'",
    ),
    (
        "a.csv",
        "label,text\n".encode("utf-16-le"),
        {},
        ", line 1: holds a NUL character; if it is UTF-16, give encoding='utf-16'",
    ),
    (
        "a.tsv",
        b"label\ttext\nham\t\0\n",
        {},
        ", line 2: holds a NUL character; if it is UTF-16, give encoding='utf-16'",
    ),
    # rows that do not fit
    ("a.csv", b"text,label\n", {}, "has a header but no rows"),
    (
        "a.csv",
        b'text,label\n"two\nlines",ham\n\nwell, well,spam\n',
        {},
        ", line 5: has 3 cells, but line 1 has 2; a cell that holds a ',' must stand in quotes",
    ),
    ("a.tsv", b"text\tlabel\r\nx\tham\r\ny\r\n", {}, ", line 3: has 1 cell, but line 1 has 2; count the tabs"),
    (
        "a.tsv",
        b"x\tham\ny\tham\t\n",
        {"text_column": 0, "label_column": 1},
        ", line 2: has 3 cells, but line 1 has 2; count the tabs",
    ),
    (
        "a.csv",
        b'text,label\nfine,ham\n"never,closed\nx,ham\n',
        {},
        ", line 3: is not CSV: unexpected end of data (noticed on line 4); a quotation mark within quotes must be "
        'doubled, and a file without quoting read with format="tsv"',
    ),
    (
        "a.csv",
        b'text,label\n"a"b,ham\n',
        {},
        ", line 2: is not CSV: ',' expected after '\"'; a quotation mark within quotes must be doubled, and a file "
        'without quoting read with format="tsv"',
    ),
    (
        "a.csv",
        b"text,label,text\na,ham,b\n",
        {},
        ", line 1: the header names the column 'text' twice; if it is no header, give header=False",
    ),
    # columns
    (
        "a.csv",
        b"text,mark\na,ham\n",
        {"header": True},
        "has no label column of a usual name; give label_column= one of 'text', 'mark'",
    ),
    (
        "a.csv",
        b"a,b,label\nx,y,ham\n",
        {},
        "has no text column of a usual name; give text_column= one of 'a', 'b', 'label'",
    ),
    ("a.csv", b"text,label\na,ham\n", {"text_column": "body"}, "has no column 'body'; its columns are 'text', 'label'"),
    (
        "a.csv",
        b",".join(b"%d" % i for i in range(99)),
        {},
        ", line 1: has no usual column name such as 'label' but '0', '1', '2', '3', '4', '5', '6', '7', '8', "
        "'9' and 89 more; give label_column= a name, or the columns by number from 0",
    ),
    ("a.csv", b"a,ham\n", {"text_column": 0, "label_column": 2}, "has no column 2; its columns are 0, 1"),
    (
        "a.csv",
        b"hello,ham\n",
        {},
        ", line 1: has no usual column name such as 'label' but 'hello', 'ham'; give label_column= a name, or the "
        "columns by number from 0",
    ),
    (
        "a.csv",
        b"text,b,label\na,b,ham\n",
        {"text_pair_column": "b"},
        "text_pair_column is given without text_column; give both",
    ),
    # labels
    ("a.csv", b"text,label\na,ham\nb,\n", {}, ", line 3: the label is empty"),
    ("a.csv", b"text,label\na,ham\nb,eggs\n", NAMED, ", line 3: label 'eggs' is unknown; the labels are 'ham', 'spam'"),
    ("a.csv", b"text,label\na,1\nb,2\n", NUMBERED, ", line 3: label '2' is outside the range 0 to 1 of 2 labels"),
    ("a.csv", b"text,label\na,-1\n", NUMBERED, ", line 2: label '-1' is outside the range 0 to 1 of 2 labels"),
    (
        "a.csv",
        b"text,label\na,1\n",
        {"labels": {"a": 0, "b": 0}},
        "a label map must number the labels 0, 1, 2 …, each once, not {'a': 0, 'b': 0}",
    ),
    (
        "a.csv",
        b"text,label\na,1\n",
        {"labels": {"a": 1}},
        "a label map must number the labels 0, 1, 2 …, each once, not {'a': 1}",
    ),
    (
        "a.csv",
        b"text,label\na,1\n",
        {"labels": ["a", "a"]},
        "labels must be distinct names, at least one, not ['a', 'a']",
    ),
    # JSON lines
    ("a.jsonl", b'{"text": "a", "label": 0}\n[1]\n', {}, f", line 2: is a list, not {AN_OBJECT}"),
    ("a.jsonl", b'{"text": "a", "label": 0}\nnull\n', {}, f", line 2: is null, not {AN_OBJECT}"),
    ("a.jsonl", b'{"text": "a", "text": "b"}\n', {}, ", line 1 is not valid JSON: the key 'text' appears twice"),
    ("a.jsonl", b'{"text": "a", "label": NaN}\n', {}, ", line 1 is not valid JSON: NaN is not JSON"),
    (
        "a.jsonl",
        b'\n{"text": "a", "label": 0}\n{"text": }\n',
        {},
        ", line 3 is not valid JSON: Expecting value at column 10 (char 9)",
    ),
    ("a.jsonl", b'{"text": ' + b"[" * 100_000, {}, ", line 1 is nested too deeply to be genuine"),
    (
        "a.jsonl",
        b'{"text": "a", "label": ' + b"9" * 5000 + b"}",
        {},
        ", line 1 is not valid JSON: an integer of 5000 digits does not fit 64 bits",
    ),
    ("a.jsonl", b'{"text": "a", "label": 0}\n{"label": 0}\n', {}, ", line 2: 'text' is missing"),
    ("a.jsonl", b'{"text": 5, "label": 0}\n', {}, ", line 1: 'text' is '5', not a text"),
    ("a.jsonl", b'{"text": "a", "label": 0}\n{"text": "a"}\n', {}, ", line 2: the label is empty"),
    ("a.jsonl", b'{"text": "a", "label": [1]}\n', {}, ", line 1: the label '[1]' is no name and no integer"),
    # arguments
    ("a.dat", b"x", {}, "the ending tells no format; give format= one of csv, jsonl, text, tsv"),
    ("a.csv", b"x", {"format": "xml"}, "format='xml' is unknown; choose one of csv, jsonl, text, tsv"),
    (
        "a.csv",
        b"x",
        {"delimiter": "||"},
        "delimiter='||' cannot separate cells; give one character, such as ',' or '\\t'",
    ),
    (
        "a.csv",
        b"x",
        {"encoding": "klingon"},
        "encoding='klingon' is unknown; try 'utf-8', 'utf-16', 'latin-1' or 'gb18030'",
    ),
]
OTHERS = [
    (read_regression, "a.csv", b"text,score\na,1.5\nb,good\n", {}, ", line 3: the label 'good' is not a finite number"),
    (read_regression, "a.csv", b"text,score\na,inf\n", {}, ", line 2: the label 'inf' is not a finite number"),
    (
        read_regression,
        "a.jsonl",
        b'{"text": "a", "score": true}',
        {},
        ", line 1: the label 'True' is not a finite number",
    ),
    (
        read_texts,
        "a.csv",
        b"well,no\n",
        {},
        ", line 1: has no usual column name such as 'text' but 'well', 'no'; "
        "give text_column= a name, or the columns by number from 0",
    ),
    (read_conll, "a.txt", b"\n-DOCSTART- -X- O O\n\n", {}, "holds no sentence"),
    (read_conll, "a.txt", b"\nRome B-LOC\nis VBZ O\n", {}, ", line 3: has 3 columns, but line 2 has 2"),
    (read_conll, "a.txt", b"Rome\tO\n\tO\n", {"delimiter": "\t"}, ", line 2: column 0 is empty"),
    (
        read_conll,
        "a.txt",
        b"\nRome O\n",
        {"label_column": 2},
        ", line 2: has 2 columns, but label_column=2 is asked for",
    ),
    (read_conll, "a.txt", b"Rome\n", {}, ", line 1: token_column and label_column are the same column, 0"),
    (
        read_conll,
        "a.txt",
        b"Rome O\n\nis X\n",
        {"labels": ["O", "B-LOC"]},
        ", line 3: label 'X' is unknown; the labels are 'O', 'B-LOC'",
    ),
    (read_squad, "a.json", b"[]", {}, "the top is not a JSON object; this is no SQuAD file"),
    (read_squad, "a.json", b'{"data": []}', {}, "holds no question"),
    (read_squad, "a.json", b'{"version": "1.1"}', {}, "the top has no 'data'; its fields are 'version'"),
    (
        read_squad,
        "a.json",
        b'{"data": [{"paragraphs": [{"qas": []}]}]}',
        {},
        "data[0].paragraphs[0] has no 'context'; its fields are 'qas'",
    ),
    (read_squad, "a.json", squad(id=5), {}, "data[0].paragraphs[0].qas[0]: 'id' must be a text, not '5'"),
    (
        read_squad,
        "a.json",
        squad(answers=[{"text": "Rome", "answer_start": True}]),
        {},
        "data[0].paragraphs[0].qas[0].answers[0]: 'answer_start' must be an integer, not 'True'",
    ),
    (
        read_squad,
        "a.json",
        squad(answers=[{"text": "Rome", "answer_start": 2}]),
        {},
        "question 'q1': the answer 'Rome' does not stand in its context at answer_start 2, "
        "where there is ' Rom'; answer_start counts characters, from 0",
    ),
    (
        read_squad,
        "a.json",
        squad(answers=[{"text": "Rome", "answer_start": -5}]),
        {},
        "question 'q1': the answer 'Rome' does not stand in its context at answer_start -5, "
        "where there is 'In R'; answer_start counts characters, from 0",
    ),
    (
        read_squad,
        "a.json",
        squad().replace(b"}]}]}]}", b'}]}, {"id": "q1", "question": "?"}]}]}'),
        {},
        "the id 'q1' belongs to two questions; answers are told apart by it",
    ),
    (read_squad, "a.json", squad()[:-1], {}, " is not valid JSON: Expecting ',' delimiter at column"),
    (read_swag, "a.csv", b"sent1,sent2\na,b\n", {}, "has no column 'ending0'; its columns are 'sent1', 'sent2'"),
    (
        read_swag,
        "a.csv",
        SWAG + b"a,b,c,d,e,f,4\n",
        {},
        ", line 2: the label '4' is not the number of a choice, 0 to 3",
    ),
    (read_multiple_choice, "a.jsonl", b'{"choices": []}', {}, "has no column 'context'; its columns are 'choices'"),
    (
        read_multiple_choice,
        "a.jsonl",
        b'{"context": 1, "choices": ["a", "b"]}',
        {},
        ", line 1: the context is '1', not a text",
    ),
    (
        read_multiple_choice,
        "a.jsonl",
        b'{"context": "a", "choices": ["b"]}',
        {},
        ", line 1: 'choices' must be a list of two or more texts, not \"['b']\"",
    ),
    (
        read_multiple_choice,
        "a.jsonl",
        b'{"context": "a", "choices": ["b", "c"]}\n{"context": "a", "choices": ["b", "c", "d"]}',
        {},
        ", line 2: has 3 choices, the first row has 2; all must have as many",
    ),
]


def numbered(cases: list[Any]) -> list[Any]:
    return [pytest.param(*case, id=f"{i}") for i, case in enumerate(cases)]


@pytest.mark.parametrize(
    ("read", "name", "content", "settings", "message"),
    numbered([(read_classification, *case) for case in TABLES] + OTHERS),
)
def test_what_is_wrong_is_said_in_one_line(
    read: Any, name: str, content: bytes, settings: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(name, **settings)
    text = str(caught.value)
    about_arguments = message.startswith(("text_pair", "format=", "delimiter=", "encoding=", "a label map", "labels"))
    prefix = "" if about_arguments else name if message.startswith((",", " ")) else f"{name}: "
    assert text.startswith(prefix + message)
    assert "\n" not in text
    assert text == prefix + message or message.endswith("column")


@pytest.mark.parametrize(
    ("data_files", "settings", "message"),
    [
        (
            "a.csv",
            {"path": "glue"},
            "load_dataset reads files: the format must be one of csv, tsv, json, jsonl, text, not 'glue'; "
            'download the data and give load_dataset("csv", data_files=...)',
        ),
        ("a.csv", {"split": "test"}, "split='test' is not among 'train'"),
        ("a.csv", {"column_names": ["text"]}, "a.csv, line 1: has 2 cells, but there are 1 names"),
        (["a.csv", "b.csv"], {}, "b.csv: has the columns ['text', 'mark'], the file before has ['text', 'label']"),
    ],
)
def test_messages_of_load_dataset(
    data_files: Any, settings: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("text,label\na,1\n", encoding="utf-8")
    Path("b.csv").write_text("text,mark\na,1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_dataset(**{"path": "csv", "data_files": data_files, **settings})


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.csv: cannot be read: no such file or folder$"):
        read_table(tmp_path / "a.csv")
    with pytest.raises(ValueError, match=r"this is a folder, a file was wanted$"):
        read_table(tmp_path, format="csv")
    if hasattr(os, "mkfifo"):  # opening one would wait for ever
        os.mkfifo(tmp_path / "pipe.csv")
        with pytest.raises(ValueError, match=r"this is a device, pipe or socket, a regular file was wanted$"):
            read_table(tmp_path / "pipe.csv")


FRAGMENTS = [
    *(b"text", b"label", b",", b"\t", b"\n", b"\r", b"\r\n", b'"', b"a", b" ", b"1", b"-DOCSTART-", b"B-X"),
    *(b"\xe2\x80\xa8", b"\x0c", b"\xff", b"\0", b"{", b"}", b"[", b"]", b":", b"1e999", b"\xef\xbb\xbf", b"\\ud800"),
    *(b'"text":', b'"label":', b'"context":"a"', b'"choices":["a","b"]', b"null", b"true"),
    *(b'"data":', b'"paragraphs":', b'"qas":', b'"id":"q"'),
]
READERS: list[tuple[Any, str, dict[str, Any]]] = [
    (read_classification, "a.csv", {}),
    (read_classification, "a.tsv", {"text_column": 0, "label_column": 0}),
    (read_regression, "a.jsonl", {"label_column": "label"}),
    (read_texts, "a.txt", {}),
    (read_texts, "a.csv", {"encoding": "utf-16"}),
    (read_conll, "a.txt", {"label_column": None}),
    (read_squad, "a.json", {}),
    (read_multiple_choice, "a.jsonl", {}),
    (read_table, "a.csv", {"header": False}),
]


@pytest.mark.parametrize(("read", "name", "keywords"), numbered(READERS))
@given(content=st.binary(max_size=60) | st.lists(st.sampled_from(FRAGMENTS), max_size=25).map(b"".join))
@example(content=b'text,label\n"a\rb",c\rd\n')
@example(content=b'{"text": "\\ud800", "label": 1e999}')
@example(content=b'{"data": [{"paragraphs": [{"context": "a", "qas": [{}]}]}]}')
@settings(max_examples=80, deadline=None, database=None)
def test_any_bytes_are_rows_or_a_value_error(read: Any, name: str, keywords: dict[str, Any], content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        message = ""
        rows: Any = []
        try:
            rows = read(path, **keywords)
        except ValueError as error:
            message = str(error)
        if read is read_table and not message:
            rows = rows.rows
        assert (len(rows) > 0) != (message != "")
        assert len(message.splitlines()) <= 1
