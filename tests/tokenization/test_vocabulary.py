"""vocab.txt: ids are line numbers, and a damaged file is refused in one line that names file, line and remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bert_numpy.tokenization import BertTokenizer, read_vocab, write_vocab
from bert_numpy.tokenization import vocabulary as module

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("a\nb\n", ["a", "b"]),
        ("a\nb", ["a", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("\ufeffa\nb\n", ["a", "b"]),
        ("a\n\nb\n\n", ["a", "", "b", ""]),
        ("a  \nb\t\n", ["a", "b"]),
        ("a\n\u2028\nb\x85c\x0cd\u2029\n\u3000\n", ["a", "\u2028", "b\x85c\x0cd\u2029", "\u3000"]),
        ("{\n}\n[\n", ["{", "}", "["]),
        ("中\n##文\n", ["中", "##文"]),
    ],
)
def test_ids_are_line_numbers(tmp_path: Path, content: str, tokens: list[str]) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content.encode())
    assert read_vocab(path) == read_vocab(str(path)) == tokens


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; a vocabulary has one token per line"),
        (b"\n\r\n", "is empty"),
        (b"a\nb\nna\xefve\n", "line 3: byte 0xef is not UTF-8; save"),
        ("a\nb\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
        ("a\nb\n".encode("utf-16-le"), "line 1: contains a NUL character, as in UTF-16"),
        (b'{"model": {"vocab": {}}}', "line 1: is JSON, not a list of tokens"),
        (b"a\nb\na\n", r"line 3: token 'a' already has number 1; .* rename"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        BertTokenizer(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt does not exist; give the path of a vocab\.txt"):
        BertTokenizer(tmp_path / "nowhere.txt")
    with pytest.raises(ValueError, match=r"is a directory; give the vocab\.txt in it"):
        BertTokenizer(tmp_path)


@pytest.mark.parametrize("missing", SPECIAL)
def test_missing_special_tokens_are_named(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "vocab.txt"
    write_vocab([token for token in [*SPECIAL, "a"] if token != missing], path)
    with pytest.raises(ValueError, match=rf"lacks the special tokens \{missing[:-1]}\]") as caught:
        BertTokenizer.from_pretrained(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("tokens", "error", "message"),
    [
        ([*SPECIAL, "a", "a"], ValueError, "token 6: token 'a' already has number 5"),
        ([*SPECIAL, "a\nb"], ValueError, "token 5: .* holds a line break"),
        ([*SPECIAL, "\ud800"], ValueError, "half a character"),
        (dict.fromkeys(SPECIAL, 0), TypeError, "a list in the order of their ids, not as a mapping"),
        ([*SPECIAL, b"a"], TypeError, "token 5: is b'a'; tokens must be str"),
    ],
)
def test_lists_that_no_file_could_hold_are_refused(tokens: list, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        BertTokenizer(tokens)


def test_special_tokens_may_have_other_names() -> None:
    names = {"unk_token": "<u>", "sep_token": "<s>", "pad_token": "<p>", "cls_token": "<c>", "mask_token": "<m>"}
    tokenizer = BertTokenizer([*names.values(), "a"], **names)
    assert tokenizer("a <m> b").tokens() == ["<c>", "a", "<m>", "<u>", "<s>"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vocab.txt"
    write_vocab(["old"], path)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_vocab(["new"], path)
    assert os.listdir(tmp_path) == ["vocab.txt"]
    assert read_vocab(path) == ["old"]
