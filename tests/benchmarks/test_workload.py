"""What the cases run on: lengths, texts, files of the user's, and the bare products."""

import numpy as np
import pytest

from bert_numpy import BertConfig, BertModel, BertTokenizer
from bert_numpy.benchmarks import floor, workload

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "##s", "."]


def test_drawn_sentences_are_like_those_of_wikipedia():
    """Measured there: 1,941 tokens in 64 sentences, the longest 78, median 28, 40 % of a padded batch are tokens."""
    lengths = workload.sentence_lengths()
    assert len(lengths) == 64
    assert lengths.sum() == pytest.approx(1941, rel=0.02)
    assert lengths.max() == pytest.approx(78, rel=0.05)
    assert np.median(lengths) == pytest.approx(28, abs=1.5)
    assert lengths.sum() / (64 * lengths.max()) == pytest.approx(0.40, abs=0.01)


def test_a_batch_of_drawn_sentences_is_masked_where_it_is_padded():
    config = BertConfig.preset("tiny", vocab_size=50, max_position_embeddings=40, pad_token_id=7)
    batch = workload.drawn_sentences(config)
    lengths = workload.sentence_lengths(40)
    assert batch["input_ids"].shape == (64, 40)
    assert batch["attention_mask"].sum(axis=1).tolist() == lengths.tolist()
    assert (batch["input_ids"][batch["attention_mask"] == 0] == 7).all()
    assert batch["input_ids"].max() < 50


def test_fixed_inputs_are_ids_of_the_vocabulary_without_padding():
    inputs = workload.fixed_inputs((8, 128), 11)
    assert set(np.unique(inputs["input_ids"])) == set(range(1, 11))
    assert inputs["attention_mask"].all()
    assert set(np.unique(inputs["labels"])) == {0, 1}


def test_a_drawn_text_is_words_of_the_vocabulary_the_first_ones_most_often():
    text = workload.drawn_text(WORDS, 20_000)
    assert 20_000 <= len(text) < 20_500
    words = text.lower().replace(".", " ").split()
    assert {word.removesuffix("s") for word in words} <= {"the", "cat", "sat"}
    counts = [words.count(word) for word in ("the", "cat", "sat")]
    assert counts[0] / counts[2] == pytest.approx(5 / 3, rel=0.1)  # ranks 0 and 2: 1/3 and 1/5
    longer = sum(word in ("thes", "cats", "sats") for word in words)
    assert longer / len(words) == pytest.approx(0.1, abs=0.02)


def test_a_vocabulary_without_words_is_refused():
    with pytest.raises(ValueError, match="no words to draw a text from; give --text FILE"):
        workload.drawn_text(["[PAD]", "##s", "."])


def test_a_text_is_cut_at_the_end_of_a_line(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("first line\nsecond line\n", encoding="utf-8")
    assert workload.read_text(path, 15) == "first line\n"
    assert workload.read_text(path, 5) == "first"
    assert workload.read_text(path) == "first line\nsecond line\n"


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, FileNotFoundError, "no file"),
        (b" \n", ValueError, "the file is empty"),
        (b"caf\xe9", ValueError, r"not UTF-8 \(byte 3\)"),
    ],
)
def test_texts_that_cannot_be_used(content, error, message, tmp_path):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message):
        workload.read_text(path)


def test_sentences_of_a_file(tmp_path):
    path, tokenizer = tmp_path / "lines.txt", BertTokenizer(WORDS)
    path.write_text("the cat sat.\n\n" + "cats\n" * 70, encoding="utf-8")
    config = BertConfig.preset("tiny", vocab_size=len(WORDS), max_position_embeddings=5)
    batch = workload.read_sentences(path, tokenizer, config)
    assert batch["input_ids"].shape == (64, 5)
    assert batch["input_ids"][0].tolist() == [2, 5, 6, 7, 3]  # cut to the five positions of the model
    assert batch["input_ids"][63].tolist() == [2, 6, 8, 3, 0]
    with pytest.raises(ValueError, match="gives the id 8, but the model has 8 words; give the vocabulary"):
        workload.read_sentences(path, tokenizer, config.changed(vocab_size=8))
    path.write_text("the cat\n" * 3, encoding="utf-8")
    with pytest.raises(ValueError, match="holds 3 lines that are not blank; 64 sentences are needed"):
        workload.read_sentences(path, tokenizer, config)


# ---- the floor --------------------------------------------------------------


@pytest.mark.parametrize("backward", [False, True])
def test_the_floor_multiplies_as_often_as_the_model(backward, monkeypatch):
    """Multiplications counted from the shapes of the products, against the formula of a BERT layer."""
    config = BertConfig.preset("tiny", vocab_size=20)
    H, I, L, lengths = config.hidden_size, config.intermediate_size, config.num_hidden_layers, [5, 3, 5, 7]  # noqa: E741
    counted = []
    matmul = np.matmul

    def counting(left, right, out):
        counted.append(left.size * right.shape[-1])
        return matmul(left, right, out=out)

    run = floor.bare_products(BertModel(config, rng=0), lengths, backward)
    monkeypatch.setattr(np, "matmul", counting)
    run()
    dense = sum(lengths) * (4 * H * H + 2 * H * I)
    attention = sum(2 * S * S * H for S in lengths)
    assert sum(counted) == L * (dense + attention) * (3 if backward else 1)


def test_the_floor_reads_every_matrix_of_the_layers_and_changes_none():
    model = BertModel(BertConfig.preset("tiny", vocab_size=20), rng=0)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    floor.bare_products(model, [4, 4], backward=True)()
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())
