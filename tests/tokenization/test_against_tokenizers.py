"""The same ids, offsets, types and masks as the `tokenizers` library, on any string and for any call.

Runs with `pytest -m reference`.  The four published vocabularies take part when the environment variable
BERT_NUMPY_VOCABS names a folder that has them (bert-base-uncased-vocab.txt and so on); BERT_NUMPY_EXAMPLES sets how
many random examples each property sees.

What is left out is left out by rule, not by result.  `differing_code_points` asks the library's four primitives
(cleaning, mark stripping, lower-casing, punctuation) and its canonical ordering about every single code point, and
sets aside those on which its Unicode tables (Unicode 8 for categories) and the running ones disagree, with the range
U+2B820 to U+2B91F that the library's list of Han characters misses.  Everything else must be equal.
"""

from __future__ import annotations

import functools
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from bert_numpy.tokenization import BertTokenizer

pytestmark = pytest.mark.reference

EXAMPLES = int(os.environ.get("BERT_NUMPY_EXAMPLES", "300"))
PUBLISHED = ("bert-base-uncased", "bert-base-cased", "bert-base-chinese", "bert-base-multilingual-cased")
MISSED_HAN = range(0x2B820, 0x2B920)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

relaxed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def generated_vocabulary() -> list[str]:
    """Characters of many scripts, with and without "##", and some longer pieces so that greedy matching matters."""
    ranges = [(33, 127), (0xC0, 0x180), (0x300, 0x330), (0x391, 0x3CA), (0x410, 0x450), (0x5D0, 0x5EB), (0x905, 0x94E)]
    ranges += [(0x1100, 0x1113), (0x1161, 0x1176), (0x11A8, 0x11C3), (0x3042, 0x3094), (0x4E00, 0x4E80)]
    characters = [chr(c) for start, stop in ranges for c in range(start, stop)]
    pieces = ["ab", "abc", "abcd", "ing", "the", "hello", "world", "straße", "αβ", "при", "σ", "ς", "ß", "ı", "i̇"]
    return list(dict.fromkeys(SPECIAL + characters + ["##" + c for c in characters + pieces] + pieces))


@functools.cache
def vocabularies() -> dict[str, list[str]]:
    found = {"generated": generated_vocabulary()}
    folder = os.environ.get("BERT_NUMPY_VOCABS")
    for name in PUBLISHED if folder else ():
        found[name] = Path(str(folder), f"{name}-vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    return found


@functools.cache
def both(name: str, lower: bool, strip: bool | None, chinese: bool) -> tuple[BertTokenizer, Any]:
    from transformers import BertTokenizer as Reference

    tokens = vocabularies()[name]
    mine = BertTokenizer(tokens, do_lower_case=lower, strip_accents=strip, tokenize_chinese_chars=chinese)
    reference = Reference(
        vocab={token: i for i, token in enumerate(tokens)},
        do_lower_case=lower,
        strip_accents=strip,
        tokenize_chinese_chars=chinese,
    )
    return mine, reference


def library(reference: Any) -> Any:
    """Return the library's tokenizer under a reference, without the lengths that its last call left behind."""
    reference._tokenizer.no_truncation()
    reference._tokenizer.no_padding()
    return reference._tokenizer


@functools.cache
def differing_code_points() -> frozenset[str]:
    from tokenizers.normalizers import NFD, BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    clean = BertNormalizer(**{**off, "clean_text": True}).normalize_str
    strip = BertNormalizer(**{**off, "strip_accents": True}).normalize_str
    lower = BertNormalizer(**{**off, "lowercase": True}).normalize_str
    split, nfd = BertPreTokenizer().pre_tokenize_str, NFD().normalize_str
    dropped = regex.compile(r"[\p{Cc}\p{Cf}\p{Co}\ufffd--[\t\n\r]]", regex.V1).match
    space, mark = regex.compile(r"\p{White_Space}").match, regex.compile(r"\p{Mn}").match
    punctuation = regex.compile(r"[\p{P}!-/:-@\[-`{-~]").match

    def differs(char: str) -> bool:
        cleaned = "" if dropped(char) else " " if space(char) else char
        stripped = "".join(c for c in unicodedata.normalize("NFD", char) if not mark(c))
        words = 2 if space(char) else 3 if punctuation(char) else 1
        return (
            clean(char) != cleaned
            or strip(char) != stripped
            or lower(char) != char.lower()
            or len(split(f"a{char}a")) != words
            or any(nfd(t) != unicodedata.normalize("NFD", t) for t in (f"{char}\u0334", f"\u0345{char}"))
        )

    return frozenset(c for c in map(chr, code_points()) if ord(c) in MISSED_HAN or differs(c))


def code_points() -> list[int]:
    return [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def characters() -> st.SearchStrategy[str]:
    any_character = st.characters(exclude_categories=["Cs"])
    ranges = [(32, 126), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0xDFF)]
    ranges += [(0xE00, 0xEFF), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x22FF), (0x2E80, 0x33FF), (0x4E00, 0x4EFF)]
    ranges += [(0xAC00, 0xACFF), (0xF900, 0xFAFF), (0xFB00, 0xFB4F), (0x1D150, 0x1D1DF), (0x20000, 0x2FA1F)]
    ranges += [(0x1BAA, 0x1BF3), (0x302A, 0x302F)]
    blocks = [st.characters(min_codepoint=a, max_codepoint=b, exclude_categories=["Cs"]) for a, b in ranges]
    odd = st.sampled_from(
        "\0\t\n\r\x0b\x0c\x1c\x85\xa0\xad\u200b\u200d\u2028\u2029\ufeff\ufffd\ue000İıßẞΣσςŉﬁ\u0344\u037e"
    )
    return st.one_of(any_character, odd, *blocks)


def texts(max_size: int = 12) -> st.SearchStrategy[str]:
    pieces = st.one_of(
        characters(),
        st.text(characters(), max_size=6),
        st.text(st.sampled_from("abcdehlo the'.,"), max_size=12),
        st.sampled_from([*SPECIAL, "[mask]", "[MASK", "hello", "world", " ", "  "]),
        st.builds(lambda c, n: c * n, characters(), st.sampled_from([50, 99, 100, 101, 200, 201])),
        st.builds(lambda c, m, n: (c + m) * n, characters(), characters(), st.sampled_from([50, 100, 101])),
    )
    joined = st.lists(pieces, max_size=max_size).map("".join)
    return joined.map(lambda text: "".join(c for c in text if c not in differing_code_points()))


configurations = st.builds(
    both,
    st.sampled_from(sorted(vocabularies())),
    st.booleans(),
    st.sampled_from([None, True, False]),
    st.booleans(),
)


def assert_same_encoding(mine: Any, reference: Any) -> None:
    for name in (
        "ids",
        "offsets",
        "word_ids",
        "type_ids",
        "tokens",
        "special_tokens_mask",
        "attention_mask",
        "sequence_ids",
    ):
        assert getattr(mine, name) == getattr(reference, name), name


def test_differing_code_points_are_of_the_documented_kinds() -> None:
    found = {c for c in differing_code_points() if ord(c) not in MISSED_HAN}
    kinds = {unicodedata.category(c) for c in found}
    assert kinds <= {"Cn", "Mn", "Mc", "Cf", "Po", "Pd", "Ps", "Pe", "So", "Lu", "Lo"}
    assert 0 < len(found) < 1000
    assert all(ord(c) > 0x5C0 for c in found)  # nothing that European text could hold


def assert_every_code_point_is_the_same(configuration: Any, every: int) -> None:
    """Compare each code point within a word, alone, and as a mark; of the unassigned ones only each `every`-th."""
    mine, reference = configuration
    usable = [c for c in map(chr, code_points()) if c not in differing_code_points()]
    usable = [c for c in usable if unicodedata.category(c) != "Cn" or ord(c) % every == 0]
    for start in range(0, len(usable), 5000):
        text = " ".join(f"a{c}b {c} \u0344{c}" for c in usable[start : start + 5000])
        ids = mine.encode(text, add_special_tokens=False)
        expected = library(reference).encode(text, add_special_tokens=False)
        assert ids == expected.ids
        assert mine._analyzer.places(text) == (expected.offsets, expected.word_ids)


@pytest.mark.parametrize("chinese", [True, False])
@pytest.mark.parametrize("strip", [None, True, False])
@pytest.mark.parametrize("lower", [True, False])
def test_every_code_point_is_the_same(lower: bool, strip: bool | None, chinese: bool) -> None:
    assert_every_code_point_is_the_same(both("generated", lower, strip, chinese), every=64)


@pytest.mark.parametrize("name", sorted(vocabularies()))
def test_every_code_point_is_the_same_in_a_published_vocabulary(name: str) -> None:
    assert_every_code_point_is_the_same(both(name, "uncased" in name, None, True), every=1)


@given(configurations, texts())
@relaxed
def test_any_text_is_the_same(configuration: Any, text: str) -> None:
    mine, reference = configuration
    assert_same_encoding(mine(text)[0], library(reference).encode(text))


@given(configurations, st.lists(texts(4), max_size=5), st.none() | st.lists(texts(4), max_size=3))
@relaxed
def test_any_words_are_the_same(configuration: Any, words: list[str], pair: list[str] | None) -> None:
    mine, reference = configuration
    found = mine(words, pair, is_split_into_words=True)[0]
    assert_same_encoding(found, library(reference).encode(words, pair, is_pretokenized=True))


calls = st.fixed_dictionaries(
    {
        "add_special_tokens": st.booleans(),
        "padding": st.sampled_from([False, True, "longest", "max_length", "do_not_pad"]),
        "truncation": st.sampled_from([None, True, False, "longest_first", "only_first", "only_second"]),
        "max_length": st.none() | st.integers(1, 16),
        "stride": st.integers(0, 4),
        "return_overflowing_tokens": st.booleans(),
        "return_special_tokens_mask": st.booleans(),
        "return_offsets_mapping": st.booleans(),
        "return_length": st.booleans(),
        "return_token_type_ids": st.sampled_from([None, True, False]),
        "return_attention_mask": st.sampled_from([None, True, False]),
        "pad_to_multiple_of": st.sampled_from([None, None, 4]),
        "padding_side": st.sampled_from([None, "left", "right"]),
    }
)


@given(
    configurations,
    st.lists(st.tuples(texts(), texts()), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["left", "right"]),
    calls,
)
@relaxed
@pytest.mark.filterwarnings("ignore:.*max_length.*is ignored")
def test_any_call_is_the_same(
    configuration: Any, pairs: list[Any], is_pair: bool, is_batch: bool, side: str, call: dict[str, Any]
) -> None:
    mine, reference = configuration
    arguments: list[Any] = [[a for a, _ in pairs], [b for _, b in pairs]][: 1 + is_pair]
    if not is_batch:
        arguments = [column[0] for column in arguments]
        assume(all(arguments[1:]))  # transformers takes a single second text "" for none, but not one in a batch
    mine.truncation_side = reference.truncation_side = side
    n_special = (3 if is_pair else 2) * call["add_special_tokens"]
    budget = None if call["max_length"] is None else call["max_length"] - n_special

    error = found = expected = None
    try:
        found = mine(*arguments, **call)
    except ValueError as raised:
        error = raised
    try:
        expected = reference(*arguments, **call)
    except BaseException:
        # The library stops at a stride that is too wide for its windows even if nobody asked for the windows.
        # It also counts two special tokens when there are none.
        in_vain = not call["return_overflowing_tokens"] or call["stride"] >= (call["max_length"] or 0) - 2
        assert error is not None or (call["stride"] > 0 and in_vain)
        event("the reference refuses")
        return
    if error is not None:
        # Stricter here: no room for the special tokens, or windows that could not move on.
        assert budget is not None
        assert budget < 0 or call["stride"] >= budget or (call["return_overflowing_tokens"] and budget < 16)
        event("refused here")
        return
    assert found is not None
    assert list(found) == list(expected)
    for name in expected:
        assert found[name] == expected[name], name
    assert len(found.encodings) == len(expected.encodings) or not call["return_overflowing_tokens"]
    if call["return_overflowing_tokens"] or not call["stride"]:
        for one, other in zip(found.encodings, expected.encodings, strict=False):
            assert_same_encoding(one, other)
    event("equal")


@given(configurations, texts(6), texts(6), st.booleans())
@relaxed
def test_any_question_has_the_same_answer(configuration: Any, text: str, pair: str, is_pair: bool) -> None:
    mine, reference = configuration
    arguments = (text, pair) if is_pair else (text,)
    one, other = mine(*arguments)[0], library(reference).encode(*arguments)
    for token in range(len(one)):
        for question in ("token_to_chars", "token_to_word", "token_to_sequence"):
            assert getattr(one, question)(token) == getattr(other, question)(token), question
    for sequence in range(1 + is_pair):
        for index in range(len(arguments[sequence]) + 2):
            for question in ("char_to_token", "char_to_word", "word_to_tokens", "word_to_chars"):
                assert getattr(one, question)(index, sequence) == getattr(other, question)(index, sequence), question


@given(configurations, st.data(), st.booleans(), st.booleans())
@relaxed
def test_any_ids_decode_to_the_same_text(configuration: Any, data: st.DataObject, skip: bool, clean: bool) -> None:
    mine, reference = configuration
    ids = data.draw(st.lists(st.integers(0, len(mine) - 1), max_size=20))
    expected = reference.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=clean)
    assert mine.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=clean) == expected


@pytest.mark.parametrize("lower", [True, False])
def test_saved_files_load_equally_everywhere(lower: bool, tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    mine = BertTokenizer(generated_vocabulary(), do_lower_case=lower, model_max_length=77)
    mine.add_special_tokens(["[E1]"])
    mine.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    auto, bare = AutoTokenizer.from_pretrained(str(tmp_path)), Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    again = BertTokenizer.from_pretrained(tmp_path)
    text = "Hello Wörld [MASK] [E1] straße 一"
    ids = mine(text)["input_ids"]
    assert mine.convert_tokens_to_ids("[E1]") in ids
    assert auto(text)["input_ids"] == bare.encode(text).ids == again(text)["input_ids"] == ids
    assert auto.model_max_length == again.model_max_length == 77
    assert len(auto) == len(again) == len(mine)


@pytest.mark.parametrize("lower", [True, False])
def test_files_of_transformers_load_equally_here(lower: bool, tmp_path: Path) -> None:
    _, reference = both("generated", lower, None, True)
    reference.save_pretrained(tmp_path)
    mine = BertTokenizer.from_pretrained(tmp_path)
    assert mine("Hello Wörld [MASK]")["input_ids"] == reference("Hello Wörld [MASK]")["input_ids"]
    assert mine.get_vocab() == reference.get_vocab()
    assert mine.model_max_length == reference.model_max_length
