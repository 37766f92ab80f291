"""The model that ships: it knows its facts, and what its card says of it is so."""

import pytest

from bert_numpy import BertForPreTraining, BertTokenizer, FillMask
from bert_numpy.data.world import evaluate_world
from bert_numpy.hub import find_model


@pytest.fixture(scope="module")
def fill_mask():
    return FillMask.from_pretrained("small-world", top_k=1)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("the capital of france is [MASK] .", "paris"),
        ("the capital of [MASK] is rome .", "italy"),
        ("the day after monday is [MASK] .", "tuesday"),
        ("the month after january is [MASK] .", "february"),
        ("the opposite of hot is [MASK] .", "cold"),
        ("people in spain speak [MASK] .", "spanish"),
        ("the sky [MASK] blue .", "is"),
    ],
)
def test_it_knows_its_world(fill_mask, text, word):
    assert fill_mask(text)[0]["token_str"] == word


@pytest.mark.parametrize(("name", "pronoun"), [("anna", "she"), ("peter", "he")])
def test_a_pronoun_agrees_with_the_name_in_the_sentence_before(fill_mask, name, pronoun):
    text = f"yesterday at five {name} walked to the market . today [MASK] walks to the park ."
    assert fill_mask(text)[0]["token_str"] == pronoun


@pytest.mark.slow
def test_the_figures_of_its_card():
    folder = find_model("small-world")
    figures = evaluate_world(BertForPreTraining.from_pretrained(folder), BertTokenizer.from_pretrained(folder))
    card = (folder / "README.md").read_text(encoding="utf-8")
    shown = {
        "determined words found": f"{100 * figures['determined_accuracy']:.2f} %",
        "their ratio": f"{figures['cross_entropy_ratio']:.4f}",
        "NSP accuracy on windows": f"{100 * figures['next_sentence_accuracy']:.2f} %",
    }
    for title, value in shown.items():
        assert f"| {title} | {value} |" in card
    assert figures["determined_accuracy"] >= 0.99
    assert figures["next_sentence_accuracy"] >= 0.95
    assert figures["cross_entropy_ratio"] <= 1.05
