"""Folders of models with random weights and trained-looking configurations, saved once for all tests."""

import numpy as np
import pytest
from support import randomize

from bert_numpy import BertConfig, BertTokenizer, models

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"]
SENTENCE = "to be or not the question that is bee bot a quiz, who? no! (tea) jazz's über 你好 fee-fi ... xyzzy [MASK]"


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    """A function (class name, **changes of the configuration) -> folder with such a model and its tokenizer."""
    made = {}

    def folder(class_name, **changes):
        key = class_name, repr(changes)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("model")
            base = BertConfig.from_pretrained("tiny-random").to_dict()
            base = {name: value for name, value in base.items() if name not in ("id2label", "label2id")}
            names = dict(enumerate(TAGS)) if "num_labels" not in changes else None
            config = BertConfig.from_dict({**base, **({"id2label": names} if names else {}), **changes})
            model = getattr(models, class_name)(config, rng=3)
            randomize(model, np.random.default_rng(3))
            model.save_pretrained(made[key])
            BertTokenizer.from_pretrained("tiny-random").save_pretrained(made[key])
        return made[key]

    return folder


@pytest.fixture(scope="session")
def texts():
    """Sixty texts of up to 30 tokens: words in and out of the vocabulary, punctuation, Han characters, accents."""
    rng = np.random.default_rng(8)
    drawn = [" ".join(rng.choice(SENTENCE.split(), rng.integers(1, 7))) for _ in range(58)]
    return [*(text.title() if i % 3 else text for i, text in enumerate(drawn)), "be", "Naïve\tbee  (to be)"]
