"""What each kind of character becomes, and that the places of words are right."""

from __future__ import annotations

import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_numpy.tokenization import BasicTokenizer

ANY_TEXT = st.text(st.characters(), max_size=40)  # lone surrogates too


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("   ", []),
        ("\u200b", []),
        ("\x00", []),
        ("\ufeff", []),
        ("\ud800", []),
        ("a\ud800b", ["ab"]),
        ("a\u00adb", ["ab"]),
        ("a\ufffdb\u200dc\ue000d", ["abcd"]),
        ("a\x0bb\x0cc\x85d\x1ce", ["abcde"]),
        ("a\tb\nc\rd\u00a0e\u2028f\u2029g\u3000h", [*"abcdefgh"]),
        ("don't-stop $5+2^3", ["don", "'", "t", "-", "stop", "$", "5", "+", "2", "^", "3"]),
        ("«¿qué?»", ["«", "¿", "que", "?", "»"]),
        ("ab\u4e2d\u6587cd", ["ab", "\u4e2d", "\u6587", "cd"]),
        (
            "\u3400\u4dbf\u9fff\uf900\U00020000\U0002b820",
            ["\u3400", "\u4dbf", "\u9fff", "\u8c48", "\U00020000", "\U0002b820"],
        ),
        ("a\U0002b820b\u3400c", ["a", "\U0002b820", "b", "\u3400", "c"]),
        ("\u3042\u30a2", ["\u3042\u30a2"]),
        ("\ud55c\uad6d", ["\u1112\u1161\u11ab\u1100\u116e\u11a8"]),
        ("na\u00efve nai\u0308ve", ["naive", "naive"]),
        ("\u0301" * 100, []),
        ("e" + "\u0301" * 100 + "x", ["ex"]),
        ("\u0130stanbul I\u0307", ["istanbul", "i"]),
        ("ß ẞ ŉ ﬁ", ["ß", "ß", "ŉ", "ﬁ"]),
        ("\u0391\u03a3 \u03a3", ["ασ", "σ"]),
        ("\u226e\u037e", ["<", ";"]),
        ("[MASK]", ["[", "mask", "]"]),
    ],
)
def test_uncased_words(text: str, words: list[str]) -> None:
    assert BasicTokenizer().tokenize(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Na\u00efve Nai\u0308ve", ["Na\u00efve", "Nai\u0308ve"]),
        ("\ud55c\uad6d \u0915\u093c \u0958", ["\ud55c\uad6d", "\u0915\u093c", "\u0958"]),
        ("\u0301,\u0301", ["\u0301", ",", "\u0301"]),
    ],
)
def test_cased_words_keep_their_form(text: str, words: list[str]) -> None:
    assert BasicTokenizer(do_lower_case=False).tokenize(text) == words


@pytest.mark.parametrize(
    ("lower", "strip", "words"),
    [
        (True, None, ["etude"]),
        (True, True, ["etude"]),
        (True, False, ["étude"]),
        (False, None, ["Étude"]),
        (False, True, ["Etude"]),
        (False, False, ["Étude"]),
    ],
)
def test_case_and_accents_are_switched_apart(lower: bool, strip: bool | None, words: list[str]) -> None:
    assert BasicTokenizer(lower, strip).tokenize("Étude") == words


def test_han_characters_stay_together_when_asked() -> None:
    assert BasicTokenizer(tokenize_chinese_chars=False).tokenize("ab\u4e2d\u6587, c") == ["ab\u4e2d\u6587", ",", "c"]


def test_controls_stay_without_cleaning() -> None:
    words = BasicTokenizer(clean_text=False).tokenize("a\x00b\u200bc\x0bd\x85e")
    assert words == ["a\x00b\u200bc", "d", "e"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\u0391\u03a3", ["ας"]),
        ("\u0391\u03a3.\u0391 \u0391\u03a3. \u03a3", ["ασ", ".", "α", "ας", ".", "σ"]),
        ("\u0391\u00ad\u03a3\u200b \u0130\u03a3", ["ας", "iς"]),
        ("\u0391\u03a3\u4e2d\u0391", ["ας", "\u4e2d", "α"]),
        ("a\ue000b", ["a\ue000b"]),
        ("a\u00adb\x0bc\u2028d", ["abc", "d"]),
    ],
)
def test_google_lower_cases_whole_words_and_keeps_private_characters(text: str, words: list[str]) -> None:
    assert BasicTokenizer(mode="google").tokenize(text) == words


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mode 'Google' is unknown.*hf, google"):
        BasicTokenizer(mode="Google")


def test_marks_that_outlive_stripping_are_put_in_canonical_order() -> None:
    stems = "a\U0001d16d\u302e\U0001d165"  # combining classes 226, 224, 216
    word, sources = BasicTokenizer().normalize(stems)
    assert word == unicodedata.normalize("NFD", stems) == "a\U0001d165\u302e\U0001d16d"
    assert list(sources) == [0, 1, 2, 3]


def test_an_addition_of_a_decomposition_is_placed_with_what_comes_before_it() -> None:
    # U+1D15E is a note head and, by decomposition, a stem (class 216); the Hangul tone mark (class 224) sorts behind.
    word, sources = BasicTokenizer().normalize("\U0001d15e\u302e")
    assert word == "\U0001d157\U0001d165\u302e"
    assert list(sources) == [0, 0, 1]
    word, sources = BasicTokenizer().normalize("\u302e\u00adx\U0001d16d\U0001d165")
    assert (word, list(sources)) == ("\u302ex\U0001d165\U0001d16d", [0, 2, 3, 4])


@given(ANY_TEXT, st.booleans(), st.sampled_from([None, True, False]), st.booleans(), st.sampled_from(["hf", "google"]))
def test_places_point_into_the_text_and_never_go_back(
    text: str, lower: bool, strip: bool | None, chinese: bool, mode: str
) -> None:
    basic = BasicTokenizer(lower, strip, chinese, mode=mode)
    end = 0
    for match in basic.chunk_pattern.finditer(text):
        assert match.start() >= end
        end = match.end()
        places = []
        for word, sources in basic.words(match[0]):
            assert len(word) == len(sources) > 0
            places += list(sources)
        assert places == sorted(places)
        assert all(0 <= place < len(match[0]) for place in places)


@given(ANY_TEXT, ANY_TEXT, st.sampled_from(["hf", "google"]))
def test_a_space_separates_completely(left: str, right: str, mode: str) -> None:
    basic = BasicTokenizer(mode=mode)
    assert basic.tokenize(f"{left} {right}") == basic.tokenize(left) + basic.tokenize(right)


@given(st.text(st.sampled_from("abAB,.' \u00e9\u4e2d\u0301")))
def test_words_have_neither_space_nor_inner_punctuation(text: str) -> None:
    for word in BasicTokenizer().tokenize(text):
        assert word.isalnum() or len(word) == 1
        assert word == word.lower()


def test_a_pickled_tokenizer_does_the_same() -> None:
    basic = BasicTokenizer(do_lower_case=False, mode="google")
    basic.tokenize("warm é")
    assert pickle.loads(pickle.dumps(basic)).tokenize("\ue000Été") == basic.tokenize("\ue000Été") == ["\ue000Été"]


@pytest.mark.parametrize("code", [0xD800, 0xDFFF])
def test_the_first_and_last_surrogates_vanish(code):
    assert BasicTokenizer().tokenize(f"a{chr(code)}b") == ["ab"]
