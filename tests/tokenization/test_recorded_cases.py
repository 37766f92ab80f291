"""Difficult texts against answers of the `tokenizers` library that are stored in tests/golden/tokenizer_cases.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bert_numpy.tokenization import BertTokenizer

CASES = json.loads((Path(__file__).parents[1] / "golden" / "tokenizer_cases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("settings", "answers"), CASES["single"], ids=lambda value: str(value)[:80])
def test_texts_give_the_recorded_ids_offsets_and_words(settings: dict, answers: list) -> None:
    tokenizer = BertTokenizer(CASES["vocabulary"], **settings)
    assert len(answers) == len(CASES["texts"]) > 30
    for text, (ids, offsets, word_ids) in zip(CASES["texts"], answers, strict=True):
        encoding = tokenizer(text, add_special_tokens=False)[0]
        assert encoding.ids == ids, ascii(text)
        assert [place for span in encoding.offsets for place in span] == offsets, ascii(text)
        assert encoding.word_ids == word_ids, ascii(text)


@pytest.mark.parametrize(("call", "columns"), CASES["calls"], ids=lambda value: str(value)[:80])
def test_calls_give_the_recorded_columns(call: dict, columns: dict) -> None:
    # The settings of the last recorded tokenizer.
    settings = CASES["single"][-1][0]
    call = dict(call)
    tokenizer = BertTokenizer(CASES["vocabulary"], **settings, truncation_side=call.pop("truncation_side"))
    firsts, seconds = zip(*CASES["pairs"], strict=True)
    assert tokenizer(firsts, seconds, return_special_tokens_mask=True, **call).data == columns
