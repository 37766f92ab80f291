"""Lines as an editor counts them, and JSON that is not taken on trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bert_numpy.data.text_files import parse_json, read_lines, read_text


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a", ["a"]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\n\r\nb", ["a", "", "b"]),
        (b"\xef\xbb\xbf a \n\n", [" a ", ""]),
        ("a\u2028b\x0b\x0c\x1c\x85\u2029c\rd\n".encode(), ["a\u2028b\x0b\x0c\x1c\x85\u2029c\rd"]),
    ],
)
def test_lines_end_at_line_feeds_alone(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    assert read_lines(path) == lines
    assert read_text(str(path)) == content.decode("utf-8-sig")


@pytest.mark.parametrize(
    "text", ['"\ud800"', '"\\ud800"', "[1e5, NaN]", "-Infinity", "[" * 10**5, "1" * 10**4, "{", ""]
)
def test_json_is_strict(text: str) -> None:
    with pytest.raises(ValueError, match=r"^here is (not|nested)[^\n]*$"):
        parse_json(text, "here")


def test_json_of_several_lines_names_the_line() -> None:
    value: Any = {"a": [1, 2.5, None, "é😀"]}
    assert parse_json('{"a": [1, 2.5, null, "é\\ud83d\\ude00"]}', "here") == value
    with pytest.raises(ValueError, match=r"^here is not valid JSON: Expecting value: line 2 column 2 \(char 3\)$"):
        parse_json("[\n ?]", "here")
