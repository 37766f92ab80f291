"""Pooling by value, the vocabulary check, and the mode of the model."""

import numpy as np
import pytest

from bert_numpy import BertForMaskedLM, BertModel, BertTokenizer
from bert_numpy.pipelines import Embedder, FillMask, load_tokenizer

TEXTS = ["to be", "or not to be, that is the question"]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_pooling_by_value(pooling):
    embed = Embedder.from_pretrained("tiny-random", pooling=pooling)
    for text, vector in zip(TEXTS, embed(TEXTS), strict=True):
        states = embed.model(**embed.tokenizer(text, return_tensors="np")).last_hidden_state[0]
        expected = states[0] if pooling == "cls" else states.mean(axis=0)
        np.testing.assert_allclose(vector, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("vocab_size", "fits"), [(71, True), (72, True), (192, True), (200, False), (70, False), (73, False)]
)
def test_a_vocabulary_may_be_rounded_up_to_a_multiple_of_8_by_less_than_128(vocab_size, fits):
    from bert_numpy.hub import find_model

    if fits:
        assert len(load_tokenizer(find_model("tiny-random"), vocab_size)) == 71
    else:
        with pytest.raises(ValueError, match=f"has 71 words but the model's vocab_size is {vocab_size}"):
            load_tokenizer(find_model("tiny-random"), vocab_size)


def test_answers_are_those_of_eval_mode():
    tokenizer = BertTokenizer.from_pretrained("tiny-random")
    embed = Embedder(BertModel.from_pretrained("tiny-random").train(), tokenizer)
    np.testing.assert_array_equal(embed(TEXTS), embed(TEXTS))
    fill = FillMask(BertForMaskedLM.from_pretrained("tiny-random").train(), tokenizer)
    assert fill("to [MASK]") == fill("to [MASK]")


def test_wrong_arguments_are_named():
    embed = Embedder.from_pretrained("tiny-random")
    with pytest.raises(TypeError, match=r"texts must be a list of texts, not one text; write embed\(\[text\]\)"):
        embed("to be")
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        embed(TEXTS, batch_size=0)
    with pytest.raises(ValueError, match="pooling 'max' is unknown; choose from mean, cls"):
        Embedder.from_pretrained("tiny-random", pooling="max")
    with pytest.raises(ValueError, match="top_k must be at least 1, not 0"):
        FillMask.from_pretrained("tiny-random")("[MASK]", top_k=0)
