"""Small vocabularies, made by rule, that the tests of the tokenizer share."""

from __future__ import annotations

import pytest

from bert_numpy.tokenization import BertTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["hello", "world", "play", "##ing", "##ed", "un", "##aff", "##able", "the", "a", "b", "c", "d", "e", "f", "g"]
CHARACTERS = [*"xyz,.!?'-[]{}:;()中文", "##x", "##y", "##z"]


@pytest.fixture(scope="session")
def tokens() -> list[str]:
    return [*SPECIAL, *WORDS, *CHARACTERS]


@pytest.fixture(scope="session")
def tokenizer(tokens: list[str]) -> BertTokenizer:
    return BertTokenizer(tokens)
