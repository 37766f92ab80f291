"""Reading documents: where they end, what is passed over, and errors that name the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from bert_numpy.data.documents import TokenizedDocuments, read_documents
from bert_numpy.tokenization import BertTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS = [*SPECIAL, *"abcdefgh", *("##" + letter for letter in "abcdefgh")]


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(TOKENS, mode="google")


def written(tmp_path: Path, text: str | bytes, name: str = "corpus.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_blank_lines_end_documents_and_files_do_unless_joined(tmp_path: Path, tokenizer: BertTokenizer) -> None:
    one = written(tmp_path, b"\xef\xbb\xbfa b\r\n c\x0cd \n\n  \n\ne", "1.txt")
    two = written(tmp_path, "f\n\n\u200b\n\ng\u2028h\n", "2.txt")
    first, second = ["a b", "c\x0cd"], ["f"]
    assert list(read_documents([one, two])) == [first, ["e"], second, ["\u200b"], ["g\u2028h"]]
    assert list(read_documents([one, two], join_files=True)) == [first, ["e", "f"], ["\u200b"], ["g\u2028h"]]
    documents = TokenizedDocuments(read_documents([one, two]), tokenizer)  # \x0c is a control: "cd"; \u200b is nothing
    assert [documents.sentences(n) for n in range(len(documents))] == [[[5, 6], [7, 16]], [[9]], [[10]], [[11, 12]]]


def test_files_are_read_as_a_stream(tmp_path: Path) -> None:
    path = written(tmp_path, b"a\n\nb\n\n\xff\n")
    documents = read_documents(path)
    assert next(documents) == ["a"]
    assert next(documents) == ["b"]
    with pytest.raises(ValueError, match=r"corpus.txt, line 5: byte 0xff is not UTF-8; save the text as UTF-8"):
        next(documents)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "corpus.txt: holds no text; write one sentence per line"),
        (b"\n \n\t\n", "corpus.txt: holds no text"),
        ("good\ngrün\n".encode("latin-1"), "corpus.txt, line 2: byte 0xfc is not UTF-8"),
        ("a\nb\n".encode("utf-16-le"), "corpus.txt, line 1: a NUL character, as in UTF-16"),
        ("a\n".encode("utf-16"), "corpus.txt, line 1: byte 0xff is not UTF-8"),
    ],
)
def test_bad_files_are_named_with_the_line(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        list(read_documents(written(tmp_path, content)))
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(read_documents(tmp_path / "nowhere.txt"))
    with pytest.raises(ValueError, match="this is a folder"):
        list(read_documents([tmp_path]))


@pytest.mark.parametrize(
    ("documents", "error", "message"),
    [
        ("a b", TypeError, r"documents is one str or path; .* read_documents\(path\)"),
        (["a b"], TypeError, "document 0 is a str; a document is a list of sentences"),
        ([["a"], []], ValueError, "document 1 has no sentence"),
        ([["a"], ["b", 7]], TypeError, "document 1, sentence 1: is of type int, not str"),
        ([], ValueError, "no token to learn from"),
        ([["\u200b"]], ValueError, "no token to learn from"),
    ],
)
def test_bad_documents_are_named_by_number(
    documents: object, error: type[Exception], message: str, tokenizer: BertTokenizer
) -> None:
    with pytest.raises(error, match=message):
        TokenizedDocuments(documents, tokenizer)  # type: ignore[arg-type]
