"""Calls as articles make them, special tokens, truncation, decoding, and what is refused."""

from __future__ import annotations

import pickle
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_numpy.tokenization import BertTokenizer


def test_the_usual_article_runs(tokenizer: BertTokenizer) -> None:
    new = tokenizer.encode_plus(
        "Hello, world!",
        add_special_tokens=True,
        max_length=8,
        padding="max_length",
        truncation=True,
        return_attention_mask=True,
        return_tensors="np",
    )
    old = tokenizer.encode_plus("Hello, world!", max_length=8, pad_to_max_length=True, return_tensors="np")
    batch = tokenizer.batch_encode_plus(["Hello, world!"], max_length=8, padding="max_length", return_tensors="np")
    ids = tokenizer.convert_tokens_to_ids(["[CLS]", *tokenizer.tokenize("Hello, world!"), "[SEP]", "[PAD]", "[PAD]"])
    for encoding in (new, old, batch):
        np.testing.assert_array_equal(encoding["input_ids"], [ids])
        np.testing.assert_array_equal(encoding["attention_mask"], [[1] * 6 + [0] * 2])
    assert len(tokenizer.encode_plus("a b c d e f g", max_length=4, pad_to_max_length=True)["input_ids"]) == 4
    assert tokenizer.encode("Hello, world!") == ids[:6]
    assert tokenizer.decode(new["input_ids"][0], skip_special_tokens=True) == "hello, world!"


@pytest.mark.parametrize("text", ["", "   ", "\u200b", "\x00", "\ufeff", "\ud800", "\u0301" * 100])
def test_texts_without_words_are_two_special_tokens(tokenizer: BertTokenizer, text: str) -> None:
    assert tokenizer.tokenize(text) == []
    assert tokenizer(text).tokens() == ["[CLS]", "[SEP]"]


@pytest.mark.parametrize("letter", ["a", "e\u0301", "\u00e9"])
@pytest.mark.parametrize(("mode", "limit"), [("hf", 100), ("google", 200)])
def test_over_long_words_are_counted_after_normalization(tokens: list[str], letter: str, mode: str, limit: int) -> None:
    tokenizer = BertTokenizer([*tokens, "##a", "##e"], mode=mode)
    assert tokenizer.tokenize(letter * limit)[:2] == [letter[0].replace("é", "e"), "##" + letter[0].replace("é", "e")]
    assert tokenizer.tokenize(letter * (limit + 1)) == ["[UNK]"]
    assert tokenizer(f"b {letter * (limit + 1)}")[0].offsets[2] == (2, 2 + len(letter) * limit + 1)


@pytest.mark.parametrize(
    ("text", "kept", "split"),
    [
        ("a[MASK]b", ["a", "[MASK]", "b"], ["a", "[", "[UNK]", "]", "b"]),
        ("[CLS][SEP]", ["[CLS]", "[SEP]"], ["[", "[UNK]", "]", "[", "[UNK]", "]"]),
        ("[mask]", ["[", "[UNK]", "]"], ["[", "[UNK]", "]"]),
        ("[MASK", ["[", "[UNK]"], ["[", "[UNK]"]),
    ],
)
def test_special_tokens_in_texts(tokens: list[str], text: str, kept: list[str], split: list[str]) -> None:
    tokenizer = BertTokenizer(tokens)
    assert tokenizer.tokenize(text) == kept
    assert tokenizer(text, split_special_tokens=True).tokens()[1:-1] == split
    assert BertTokenizer(tokens, split_special_tokens=True).tokenize(text) == split
    assert BertTokenizer(tokens, mode="google").tokenize(text) == split


def test_a_special_token_in_a_text_is_text_to_the_mask(tokenizer: BertTokenizer) -> None:
    encoding = tokenizer("a [SEP] b", return_special_tokens_mask=True, return_offsets_mapping=True)
    assert encoding["special_tokens_mask"] == [1, 0, 0, 0, 1]
    assert encoding["offset_mapping"][2] == (2, 7)
    assert encoding.word_ids() == [None, 0, 1, 2, None]


def test_added_special_tokens_stay_whole(tokens: list[str]) -> None:
    tokenizer = BertTokenizer(tokens)
    assert tokenizer.add_special_tokens(["[E1]", "[E1]", "[E10]", "[MASK]"]) == 2
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["[E1]"]}) == 0
    assert tokenizer.tokenize("[E10]a[E1]") == ["[E10]", "a", "[E1]"]
    assert (tokenizer.vocab_size, len(tokenizer)) == (len(tokens), len(tokens) + 2)
    assert tokenizer.convert_tokens_to_ids("[E10]") == len(tokens) + 1
    assert tokenizer.decode([len(tokens)]) == "[E1]"
    assert tokenizer.add_special_tokens(["<e", "<e1"]) == 2
    assert tokenizer.tokenize("<e1<e") == ["<e1", "<e"]  # the longest one that fits
    assert tokenizer.decode([len(tokens)], skip_special_tokens=True) == ""
    with pytest.raises(TypeError, match="a list of tokens is wanted"):
        tokenizer.add_special_tokens("[E2]")
    with pytest.raises(ValueError, match="additional_special_tokens"):
        tokenizer.add_special_tokens({"cls_token": ["x"]})


def test_words_keep_their_numbers_and_offsets(tokenizer: BertTokenizer) -> None:
    encoding = tokenizer(["unaffable", "a b", "", "[MASK]"], is_split_into_words=True, return_offsets_mapping=True)
    assert encoding.tokens() == ["[CLS]", "un", "##aff", "##able", "a", "b", "[MASK]", "[SEP]"]
    assert encoding.word_ids() == [None, 0, 0, 0, 1, 1, 3, None]
    assert encoding["offset_mapping"][1:-1] == [(0, 2), (2, 5), (5, 9), (0, 1), (2, 3), (0, 6)]


def test_words_may_change_after_the_call(tokenizer: BertTokenizer) -> None:
    words = ["hello", "world"]
    encoding = tokenizer(words, is_split_into_words=True)
    words.clear()
    assert encoding.word_ids() == [None, 0, 1, None]


def test_every_way_to_give_pairs_is_the_same(tokenizer: BertTokenizer) -> None:
    expected = tokenizer("a", "b c")["input_ids"]
    assert tokenizer([("a", "b c")])["input_ids"] == tokenizer(["a"], ["b c"])["input_ids"] == [expected]
    words = tokenizer([(["a"], ["b", "c"])], is_split_into_words=True)["input_ids"]
    assert words == tokenizer([["a"]], [["b", "c"]], is_split_into_words=True)["input_ids"] == [expected]
    assert tokenizer([["a", "b"]], is_split_into_words=True)["input_ids"] == [tokenizer("a b")["input_ids"]]


@pytest.mark.parametrize(
    ("pair", "hf", "google"),
    [
        (("", "b"), "[CLS] [SEP] b [SEP]", "[CLS] [SEP] b [SEP]"),
        (("a", ""), "[CLS] a [SEP] [SEP]", "[CLS] a [SEP]"),
        (("", ""), "[CLS] [SEP] [SEP]", "[CLS] [SEP]"),
    ],
)
def test_empty_second_texts(tokens: list[str], pair: tuple[str, str], hf: str, google: str) -> None:
    assert BertTokenizer(tokens)(*pair).tokens() == BertTokenizer(tokens)([pair]).tokens() == hf.split()
    assert BertTokenizer(tokens, mode="google")(*pair).tokens() == google.split()


@pytest.mark.parametrize(
    ("truncation", "side", "tokens_left"),
    [
        (True, "right", "[CLS] a b [SEP] x y z [SEP]"),
        ("longest_first", "left", "[CLS] c d [SEP] y z . [SEP]"),
        ("only_first", "right", "[CLS] a [SEP] x y z . [SEP]"),
        ("only_second", "right", "[CLS] a b c d [SEP] x [SEP]"),
        ("only_second", "left", "[CLS] a b c d [SEP] . [SEP]"),
        (None, "right", "[CLS] a b [SEP] x y z [SEP]"),
        (False, "right", "[CLS] a b c d [SEP] x y z . [SEP]"),
        ("do_not_truncate", "right", "[CLS] a b c d [SEP] x y z . [SEP]"),
    ],
)
def test_truncation_keeps_the_special_tokens(
    tokens: list[str], truncation: bool | str | None, side: str, tokens_left: str
) -> None:
    tokenizer = BertTokenizer(tokens, truncation_side=side)
    assert tokenizer("a b c d", "x y z .", truncation=truncation, max_length=8).tokens() == tokens_left.split()


def test_google_gives_the_odd_place_to_the_first_text(tokens: list[str]) -> None:
    encoding = BertTokenizer(tokens, mode="google")("a b c d", "x y z .", max_length=8)
    assert encoding.tokens() == ["[CLS]", "a", "b", "c", "[SEP]", "x", "y", "[SEP]"]


def test_windows_over_a_batch(tokenizer: BertTokenizer) -> None:
    batch = tokenizer(
        ["x", "a b c d e"],
        ["y", "f"],
        truncation="only_first",
        max_length=7,
        stride=2,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=True,
    )
    assert batch["overflow_to_sample_mapping"] == [0, 1, 1, 1]
    assert [batch.tokens(k)[1:4] for k in (1, 2, 3)] == [["a", "b", "c"], ["b", "c", "d"], ["c", "d", "e"]]
    assert batch["offset_mapping"][3] == [(0, 0), (4, 5), (6, 7), (8, 9), (0, 0), (0, 1), (0, 0)]
    assert batch.word_ids(3) == [None, 2, 3, 4, None, 0, None]
    assert [len(ids) for ids in batch["input_ids"]] == [7] * 4
    assert [e.tokens for e in batch[1].overflowing] == [batch.tokens(2), batch.tokens(3)]
    assert batch[0].overflowing == batch[2].overflowing == []


def test_windows_that_are_padded_are_the_same_from_both_sides(tokenizer: BertTokenizer) -> None:
    batch = tokenizer("a b c d", max_length=5, truncation=True, padding=True, return_overflowing_tokens=True)
    assert [e.ids for e in [batch[0], *batch[0].overflowing]] == batch["input_ids"]
    assert batch.tokens(1) == ["[CLS]", "d", "[SEP]", "[PAD]", "[PAD]"]


def test_a_model_max_length_stands_in(tokens: list[str]) -> None:
    limited, free = BertTokenizer(tokens, model_max_length=4), BertTokenizer(tokens, model_max_length=1e30)
    assert len(limited("a b c d", truncation=True)["input_ids"]) == 4
    assert len(limited("a", padding="max_length")["input_ids"]) == 4
    assert len(limited("a b c d")["input_ids"]) == 6
    assert len(free("a b c d", truncation=True, padding="max_length")["input_ids"]) == 6
    assert free.model_max_length == int(1e30)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"max_length": 2}, "max_length 2 has no room for the 3 special tokens"),
        ({"max_length": 0}, "max_length 0 has no room"),
        ({"max_length": -1}, "max_length must be an integer that is not negative"),
        ({"max_length": True}, "max_length must be an integer"),
        ({"max_length": 7, "stride": 4}, "stride 4 .* less than 4: max_length 7 without 3 special tokens"),
        ({"max_length": 7, "stride": -1}, "stride -1 must not be negative"),
        ({"max_length": 4, "return_overflowing_tokens": True}, "stride 0 does not fit"),
        ({"max_length": 5, "truncation": "only_first"}, "only_first.* would take 4 of the 3 .*longest_first"),
        ({"truncation": "first"}, "truncation='first' is unknown; choose one of longest_first"),
        ({"padding": "left"}, "padding='left' is unknown; choose one of longest, max_length"),
        ({"padding_side": "up"}, "padding_side='up' is unknown; choose one of right, left"),
        ({"max_length": 5, "padding": True, "truncation": True, "pad_to_multiple_of": 4}, "5 is no multiple of"),
        ({"max_length": 4, "padding": True, "truncation": True, "pad_to_multiple_of": 0}, "must be positive"),
        ({"padding": True, "pad_to_multiple_of": 0}, "must be positive"),
    ],
)
def test_lengths_that_cannot_be_met_are_refused(tokenizer: BertTokenizer, call: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer("a b c", "x y z", **call)


def test_padding_without_a_padding_token_is_refused(tokens: list[str]) -> None:
    tokenizer = BertTokenizer(tokens[1:], pad_token=None)
    assert tokenizer.pad_token_id is None
    with pytest.raises(ValueError, match="no pad_token"):
        tokenizer("a", padding=True)


def test_a_length_without_effect_warns(tokenizer: BertTokenizer) -> None:
    with pytest.warns(UserWarning, match="max_length is ignored") as caught:
        tokenizer("a b", padding=True, max_length=3)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((None,), TypeError, "text must be a str.*found NoneType"),
        ((3,), TypeError, "text must be a str.*found int"),
        ((b"ab",), TypeError, "text must be a str.*found bytes"),
        (([1, 2],), TypeError, "text must be a str.*found int"),
        ((["a", None],), TypeError, "text must be a str.*found NoneType"),
        (("a", 3), TypeError, "text_pair must be a str.*found int"),
        ((["a"], "b"), TypeError, "text_pair must be a list as long as text; found str"),
        ((["a"], ["b", "c"]), ValueError, "text has 1 entries and text_pair 2"),
        ((["a"], [None]), None, ""),
    ],
)
def test_other_things_than_texts_are_refused(
    tokenizer: BertTokenizer, arguments: tuple, error: type[Exception] | None, message: str
) -> None:
    if error is None:
        assert tokenizer(*arguments).tokens() == ["[CLS]", "a", "[SEP]"]
        return
    with pytest.raises(error, match=message):
        tokenizer(*arguments)


@pytest.mark.parametrize("words", ["a b", ["a", 1], [["a"], "b"], [["a", 1]]])
def test_other_things_than_words_are_refused(tokenizer: BertTokenizer, words: object) -> None:
    with pytest.raises(TypeError, match="must be a list of words, or a list of lists of words"):
        tokenizer(words, is_split_into_words=True)


def test_unknown_keywords_are_refused(tokenizer: BertTokenizer, tokens: list[str]) -> None:
    with pytest.raises(TypeError, match="max_len"):
        tokenizer("a", max_len=3)
    with pytest.raises(TypeError, match="lowercase"):
        BertTokenizer(tokens, lowercase=True)


def test_ids_and_tokens_convert(tokenizer: BertTokenizer) -> None:
    assert tokenizer.convert_tokens_to_ids("hello") == 5
    assert tokenizer.convert_tokens_to_ids(["hello", "nowhere"]) == [5, 1]
    assert tokenizer.convert_ids_to_tokens(5) == tokenizer.convert_ids_to_tokens(np.int64(5)) == "hello"
    assert tokenizer.convert_ids_to_tokens(np.array([2, 5]), skip_special_tokens=True) == ["hello"]
    assert tokenizer.get_vocab() == tokenizer.vocab
    assert tokenizer.vocab["hello"] == 5
    assert len(tokenizer) == tokenizer.vocab_size == len(tokenizer.vocab)


@pytest.mark.parametrize("bad", [-1, 10**9])
def test_ids_outside_the_vocabulary_are_refused(tokenizer: BertTokenizer, bad: int) -> None:
    for convert in (tokenizer.convert_ids_to_tokens, tokenizer.decode):
        with pytest.raises(IndexError, match=f"token id {bad} is outside the vocabulary of"):
            convert([5, bad])
    with pytest.raises(TypeError, match=r"must be an integer, not 1\.5"):
        tokenizer.decode([1.5])


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([], ""),
        (["##ing", "play"], "##ing play"),
        (["[CLS]", "play", "##ing", "!", "[SEP]"], "[CLS] playing! [SEP]"),
        (["a", "?", ",", ".", "b"], "a?,. b"),
        (["don", "'", "t"], "don ' t"),
    ],
)
def test_tokens_join_to_text(tokenizer: BertTokenizer, pieces: list[str], text: str) -> None:
    assert tokenizer.convert_tokens_to_string(pieces) == text


def test_decoding_takes_ids_lists_arrays_and_batches(tokenizer: BertTokenizer) -> None:
    ids = tokenizer("Hello world ' s").input_ids
    assert tokenizer.decode(ids) == tokenizer.decode(np.array(ids)) == "[CLS] hello world ' [UNK] [SEP]"
    assert tokenizer.decode(5) == tokenizer.decode(np.int64(5)) == "hello"
    assert tokenizer.decode([]) == ""
    assert tokenizer.batch_decode([[5], [6]]) == tokenizer.decode([[5], [6]]) == ["hello", "world"]
    assert tokenizer.batch_decode(np.array([[5], [6]])) == ["hello", "world"]
    quoted = tokenizer.convert_tokens_to_ids(["a", "'", "b", "!"])
    assert tokenizer.decode(quoted) == "a ' b!"
    assert tokenizer.decode(quoted, clean_up_tokenization_spaces=True) == "a'b!"


def test_special_tokens_have_names_and_ids(tokenizer: BertTokenizer) -> None:
    for number, role in enumerate(["pad", "unk", "cls", "sep", "mask"]):
        assert getattr(tokenizer, f"{role}_token_id") == number
        assert getattr(tokenizer, f"{role}_token") == f"[{role.upper()}]"
    assert tokenizer.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert tokenizer.all_special_ids == [1, 3, 0, 2, 4]
    assert tuple(tokenizer.model_input_names) == ("input_ids", "token_type_ids", "attention_mask")


def test_sequences_are_built_from_ids(tokenizer: BertTokenizer) -> None:
    for first, second in (([5], None), ([5, 6], [7])):
        texts = ["hello world"[: 5 if second is None else 11], None if second is None else "play"]
        encoding = tokenizer(*texts, return_special_tokens_mask=True)
        assert tokenizer.build_inputs_with_special_tokens(first, second) == encoding["input_ids"]
        assert tokenizer.create_token_type_ids_from_sequences(first, second) == encoding["token_type_ids"]
        assert tokenizer.get_special_tokens_mask(first, second) == encoding["special_tokens_mask"]
        done = tokenizer.get_special_tokens_mask(encoding["input_ids"], already_has_special_tokens=True)
        assert done == encoding["special_tokens_mask"]
    assert (tokenizer.num_special_tokens_to_add(), tokenizer.num_special_tokens_to_add(pair=True)) == (2, 3)


@given(text=st.text(st.characters(), max_size=60))
def test_remembered_chunks_do_not_change_results(tokens: list[str], tokenizer: BertTokenizer, text: str) -> None:
    warm, cold = tokenizer(text)[0], BertTokenizer(tokens)(text)[0]
    assert (warm.ids, warm.offsets, warm.word_ids) == (cold.ids, cold.offsets, cold.word_ids)
    assert len(warm.ids) == len(warm.offsets) == len(warm.word_ids)


def test_memory_of_chunks_is_bounded(tokens: list[str]) -> None:
    tokenizer = BertTokenizer(tokens)
    chunks = tokenizer._analyzer._chunks
    chunks.LIMIT = 10
    tokenizer(" ".join(f"a{k}" for k in range(95)) + " " + "a" * 65)
    assert len(chunks) <= 10
    assert all(len(chunk) <= chunks.LONGEST for chunk in chunks)


def test_a_pickled_tokenizer_does_the_same(tokenizer: BertTokenizer) -> None:
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again("Hello [MASK], naïve").data == tokenizer("Hello [MASK], naïve").data


@pytest.mark.parametrize(
    "unit",
    [
        "hello world, ",
        "a",
        "\n",
        "\u00e9",
        "a\u0301",
        "\u0301",
        "\u4e2d",
        "[MASK]",
        "[",
        "\u1e69\u0323",
        "\U0001d165\u302e",
    ],
)
@pytest.mark.parametrize("mode", ["hf", "google"])
def test_time_is_linear_in_the_text(tokens: list[str], unit: str, mode: str) -> None:
    def seconds(n: int) -> float:
        tokenizer, text = BertTokenizer(tokens, mode=mode), unit * (n // len(unit))
        start = time.process_time()
        tokenizer(text, return_offsets_mapping=True)
        return time.process_time() - start

    small, large = seconds(5_000), seconds(80_000)
    assert large < 16 * 4 * max(small, 2e-3)  # a quadratic step would be 256 times slower


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["i", "'m", "here", "."], "i'm here."),
        (["do", "n't", "!"], "don't!"),
        (["it", "'s", ",", "we", "'ve", "?"], "it's, we've?"),
        (["you", "'re", "'", "a"], "you're'a"),
    ],
)
def test_cleaning_up_spaces_joins_what_belongs_to_a_word(words, text):
    tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])
    ids = tokenizer.convert_tokens_to_ids(words)
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=True) == text
