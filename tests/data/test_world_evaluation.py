"""The evaluation of models whose score can be derived without it: one knows the truth, one guesses, one overdoes it."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from bert_numpy.data.world import (
    Window,
    WindowTruth,
    evaluate_world,
    measure,
    sample_windows,
    true_distribution,
    world_vocabulary,
)
from bert_numpy.tokenization import BertTokenizer

TOKENIZER = BertTokenizer(world_vocabulary())
VOCABULARY = world_vocabulary()
V = len(VOCABULARY)
ID = {word: i for i, word in enumerate(VOCABULARY)}
NUM_WINDOWS, SEED = 12, 3
WINDOWS = list(sample_windows(NUM_WINDOWS, SEED))


class Oracle:
    """Answers with the true distributions, read from its inputs alone; `sharpness` raises them to a power.

    It also keeps the books: every sequence it was shown, as (window, position of the mask or None).
    """

    def __init__(self, sharpness=1.0, next_sentence_sign=1, shift=0.0):
        self.sharpness, self.next_sentence_sign, self.shift = sharpness, next_sentence_sign, shift
        self.shown = []

    def __call__(self, input_ids, attention_mask, token_type_ids):
        B, S = input_ids.shape
        logits = np.full((B, S, V), self.shift - 50)
        next_sentence = np.zeros((B, 2))
        for row in range(B):
            length = int(attention_mask[row].sum())
            tokens = [VOCABULARY[i] for i in input_ids[row, :length]]
            assert attention_mask[row, :length].all()
            assert set(input_ids[row, length:].tolist()) <= {ID["[PAD]"]}
            window = Window.from_tokens(tokens)
            starts_at = len(window.first) + 2
            assert token_type_ids[row].tolist() == [int(starts_at <= i < length) for i in range(S)]
            masks = [i for i, token in enumerate(tokens) if token == "[MASK]"]
            assert len(masks) <= 1
            self.shown.append((window, masks[0] if masks else None))
            if masks:
                for word, p in true_distribution(window, masks[0]).items():
                    logits[row, masks[0], ID[word]] = self.sharpness * math.log(p) + self.shift
            else:
                p = WindowTruth(window).next_sentence_probability()
                next_sentence[row] = self.next_sentence_sign * p, self.next_sentence_sign * (1 - p)
        return SimpleNamespace(prediction_logits=logits, seq_relationship_logits=next_sentence)


def test_the_truth_itself_is_perfect():
    oracle = Oracle()
    result = evaluate_world(oracle, TOKENIZER, NUM_WINDOWS, SEED, batch_size=7)
    statistics = measure(window for window, _ in WINDOWS)
    assert result["windows"] == NUM_WINDOWS
    assert result["words"] == statistics.words
    assert result["cross_entropy"] == pytest.approx(statistics.surprisal, abs=1e-12)
    assert result["true_cross_entropy"] == pytest.approx(statistics.surprisal, abs=1e-12)
    assert result["cross_entropy_ratio"] == pytest.approx(1, abs=1e-9)
    assert result["entropy"] == pytest.approx(statistics.entropy, abs=1e-12)
    assert result["divergence"] == pytest.approx(0, abs=1e-12)
    assert result["determined"] == statistics.determined
    assert result["determined_accuracy"] == 1
    assert result["best_next_sentence_accuracy"] == pytest.approx(statistics.next_sentence_accuracy, abs=1e-12)
    right = [(WindowTruth(window).next_sentence_probability() >= 0.5) == follows for window, follows in WINDOWS]
    assert result["next_sentence_accuracy"] == sum(right) / NUM_WINDOWS


def test_every_word_is_masked_once_and_alone():
    oracle = Oracle()
    evaluate_world(oracle, TOKENIZER, NUM_WINDOWS, SEED)
    expected = []
    for window, _ in WINDOWS:
        for i in window.positions:
            tokens = list(window.tokens)
            tokens[i] = "[MASK]"
            expected.append((Window.from_tokens(tokens), i))
    assert oracle.shown == expected + [(window, None) for window, _ in WINDOWS]


def test_a_uniform_model_pays_log_of_the_vocabulary():
    def guesses(input_ids, attention_mask, token_type_ids):
        logits = np.zeros((*input_ids.shape, V), np.float32)
        return SimpleNamespace(prediction_logits=logits, seq_relationship_logits=np.tile([0.0, 1.0], (len(logits), 1)))

    result = evaluate_world(guesses, TOKENIZER, NUM_WINDOWS, SEED)
    statistics = measure(window for window, _ in WINDOWS)
    assert result["cross_entropy"] == pytest.approx(math.log(V), abs=1e-12)
    assert result["perplexity"] == pytest.approx(V)
    assert result["true_perplexity"] == pytest.approx(math.exp(statistics.surprisal))
    assert result["cross_entropy_ratio"] == pytest.approx(math.log(V) / statistics.surprisal)
    assert result["divergence"] == pytest.approx(math.log(V) - statistics.entropy)  # KL(p || uniform)
    assert result["determined_accuracy"] == 0  # it says [PAD], the first of equals
    assert result["next_sentence_accuracy"] == sum(not follows for _, follows in WINDOWS) / NUM_WINDOWS


def test_too_sharp_a_model_finds_the_words_but_pays_for_its_certainty():
    result = evaluate_world(Oracle(sharpness=3), TOKENIZER, NUM_WINDOWS, SEED)
    surprisals, divergences = [], []
    for window, _ in WINDOWS:
        for i in window.positions:
            p = true_distribution(window, i)
            total = sum(q**3 for q in p.values())
            surprisals.append(-math.log(p[window.tokens[i]] ** 3 / total))
            divergences.append(sum(q * math.log(q / (q**3 / total)) for q in p.values()))
    assert result["determined_accuracy"] == 1
    assert result["cross_entropy"] == pytest.approx(np.mean(surprisals), abs=1e-9)
    assert result["divergence"] == pytest.approx(np.mean(divergences), abs=1e-9)
    assert result["divergence"] > 0.001


def test_the_next_sentence_answer_is_the_larger_logit():
    right = evaluate_world(Oracle(), TOKENIZER, NUM_WINDOWS, SEED)["next_sentence_accuracy"]
    wrong = evaluate_world(Oracle(next_sentence_sign=-1), TOKENIZER, NUM_WINDOWS, SEED)["next_sentence_accuracy"]
    assert right + wrong == pytest.approx(1)
    assert right > 0.9


def test_batches_do_not_matter():
    results = [evaluate_world(Oracle(sharpness=2), TOKENIZER, 3, SEED, batch_size=size) for size in (1, 5, 1000)]
    assert results[0] == pytest.approx(results[1], abs=1e-12)
    assert results[0] == pytest.approx(results[2], abs=1e-12)


def test_logits_may_be_large():
    expected = evaluate_world(Oracle(), TOKENIZER, 3, SEED)
    assert evaluate_world(Oracle(shift=4096.0), TOKENIZER, 3, SEED) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_eval_meanwhile_and_what_it_was_afterwards(training):
    class Modal(Oracle):
        def eval(self):
            self.training = False

        def train(self):
            self.training = True

        def __call__(self, **inputs):
            assert not self.training
            if self.broken:
                raise RuntimeError("broken")
            return super().__call__(**inputs)

    model = Modal()
    model.training, model.broken = training, False
    evaluate_world(model, TOKENIZER, 1, SEED)
    assert model.training is training
    model.broken = True
    with pytest.raises(RuntimeError, match="broken"):
        evaluate_world(model, TOKENIZER, 1, SEED)
    assert model.training is training


def test_errors():
    with pytest.raises(ValueError, match=r"num_windows is 0; ask for at least 1"):
        evaluate_world(Oracle(), TOKENIZER, 0)
    with pytest.raises(ValueError, match=r"batch_size is 0; it must be at least 1"):
        evaluate_world(Oracle(), TOKENIZER, 1, batch_size=0)
    small = BertTokenizer([word for word in VOCABULARY if word != WINDOWS[0][0].first[0]])
    with pytest.raises(ValueError, match=rf"the vocabulary has no '{WINDOWS[0][0].first[0]}', a word of the world"):
        evaluate_world(Oracle(), small, NUM_WINDOWS, SEED)
    with pytest.raises(ValueError, match=r"the outputs of this function have no prediction_logits; evaluate a BertFor"):
        evaluate_world(_no_logits, TOKENIZER, 1)


def _no_logits(**inputs):
    return SimpleNamespace(logits=np.zeros((1, 1, V)))
