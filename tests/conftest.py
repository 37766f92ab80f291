"""What the tests share: an odd-sized configuration, models with no trivial parameter, and a padded batch.

All sizes are different, so that a mixed-up axis cannot pass; gains and biases are random, because a fresh model (gain
1, bias 0) hides many mistakes; the batch is padded and uses both segments.
"""

import numpy as np
import pytest
from support import NUM_LABELS, B, S, randomize

from bert_numpy import models
from bert_numpy.configuration import BertConfig

collect_ignore_glob = ["golden/*.py", "torch_port.py", "tasks/compare_spam.py"]  # need the extra `reference`


@pytest.fixture
def rng():
    return np.random.default_rng(42)


@pytest.fixture(scope="session")
def config():
    return BertConfig(
        vocab_size=99,
        hidden_size=32,
        num_attention_heads=4,
        intermediate_size=37,
        num_hidden_layers=3,
        max_position_embeddings=19,
        pad_token_id=None,  # finite differences would see the gradient that the padding row is not given
        num_labels=NUM_LABELS,
    )


@pytest.fixture
def make_model(config):
    """A function (class name, dtype=float64, **changes of the configuration) -> model in eval mode."""

    def make(class_name, dtype=np.float64, seed=7, **changes):
        model = getattr(models, class_name)(config.changed(**changes), dtype=dtype, rng=seed)
        randomize(model, np.random.default_rng(seed))
        return model.eval()

    return make


@pytest.fixture
def batch(config):
    """A padded batch of three sequences in two segments, with repeated ids."""
    rng = np.random.default_rng(1)
    input_ids = rng.integers(1, config.vocab_size // 2, (B, S))
    attention_mask = np.ones((B, S), np.int64)
    for row, length in enumerate((S, 7, 4)):
        input_ids[row, length:] = 0
        attention_mask[row, length:] = 0
    token_type_ids = (np.arange(S) >= 5) * np.array([[1], [0], [1]]) * attention_mask
    return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}


@pytest.fixture
def labelled(config, batch):
    """A function class name -> the batch with the labels that this head takes."""
    rng = np.random.default_rng(2)
    real = batch["attention_mask"] == 1
    masked = np.where(rng.random((B, S)) < 0.4, rng.integers(0, config.vocab_size, (B, S)), -100)
    labels = {
        "BertForPreTraining": {"labels": masked, "next_sentence_label": np.array([1, 0, 1])},
        "BertForMaskedLM": {"labels": masked},
        "BertForNextSentencePrediction": {"labels": np.array([1, 0, 0])},
        "BertForSequenceClassification": {"labels": np.array([5, 0, 3])},
        "BertForTokenClassification": {"labels": np.where(real, rng.integers(0, NUM_LABELS, (B, S)), -100)},
        "BertForQuestionAnswering": {"start_positions": np.array([1, 2, 30]), "end_positions": np.array([4, 2, 3])},
        "BertForMultipleChoice": {"labels": np.array([0, 1, 1])},
    }

    def with_labels(class_name):
        inputs = dict(batch)
        if class_name == "BertForMultipleChoice":
            inputs = {name: np.stack([values, values[:, ::-1]], axis=1) for name, values in batch.items()}
        return {**inputs, **labels[class_name]}

    return with_labels
