"""Sentences are found, scored and picked as is written."""

import numpy as np
import pytest

from bert_numpy.pipelines import Embedder, Summarizer, split_sentences
from bert_numpy.pipelines.summary import pick

SPLITS = {
    "plain": ("One. Two! Three? Four…  Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
    "quotes": ("“Why?” He left. (Really.) Yes.", ["“Why?”", "He left.", "(Really.)", "Yes."]),
    "it goes on": ("“Why?” he asked. At 3.5 p.m. we left.", ["“Why?” he asked.", "At 3.5 p.m. we left."]),
    "titles": ("Dr. J. Smith met Mrs. Lee. All ate.", ["Dr. J. Smith met Mrs. Lee.", "All ate."]),
    "abbreviations": ("Fruit, e.g. Apples. More.", ["Fruit, e.g. Apples.", "More."]),
    "I is a letter": ("So did Ann and I! Good.", ["So did Ann and I!", "Good."]),
    "chinese": ("你好。我很好！再见", ["你好。", "我很好！", "再见"]),
    "headings": ("A title\n\nA line\nthat goes on.\n \nNext", ["A title", "A line\nthat goes on.", "Next"]),
    "nothing": (" \n ", []),
    "dots": ("... Wait ... what?! Yes.", ["...", "Wait ... what?!", "Yes."]),
}


@pytest.mark.parametrize(("text", "sentences"), SPLITS.values(), ids=SPLITS.keys())
def test_sentences_by_hand(text, sentences):
    assert [text[start:end] for start, end in split_sentences(text)] == sentences


TEXT = "To be or not. That is the question! To be a bee? The tea is not. A bot that is. Or the quiz."


def test_the_score_is_the_mean_cosine_with_the_other_sentences():
    embed = Embedder.from_pretrained("tiny-random")
    sentences = [TEXT[a:b] for a, b in split_sentences(TEXT)]
    vectors = embed(sentences).astype(float)
    found = Summarizer(embed, num_sentences=6)(TEXT)
    assert [one["sentence"] for one in found] == sentences
    for i, one in enumerate(found):
        cosines = [
            vectors[i] @ other / np.linalg.norm(vectors[i]) / np.linalg.norm(other)
            for j, other in enumerate(vectors)
            if j != i
        ]
        assert one["score"] == pytest.approx(np.mean(cosines), abs=1e-6)
        assert TEXT[one["start"] : one["end"]] == one["sentence"]


def test_without_diversity_the_best_sentences_are_picked_in_the_order_of_the_text():
    summarize = Summarizer.from_pretrained("tiny-random", diversity=0)
    scores = {one["start"]: one["score"] for one in summarize(TEXT, num_sentences=99)}
    best = sorted(scores, key=lambda start: -scores[start])[:3]
    assert [one["start"] for one in summarize(TEXT)] == sorted(best)
    assert summarize(TEXT) == summarize(TEXT)


def test_picking_against_every_order_that_greed_allows():
    rng = np.random.default_rng(4)
    for _ in range(20):
        n, d = 7, float(rng.uniform())
        vectors = rng.normal(size=(n, 3))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines, scores = vectors @ vectors.T, rng.normal(size=n)
        expected = []
        while len(expected) < 4:
            values = {
                i: (1 - d) * scores[i] - (d * max(cosines[i][j] for j in expected) if expected else 0)
                for i in range(n)
                if i not in expected
            }
            expected.append(max(values, key=values.get))
        assert pick(scores, cosines, 4, d) == expected


def test_equal_sentences_are_not_both_picked_and_the_first_is_taken():
    text = "To be or not. The bee quiz. To be or not. That is tea."
    starts = [one["start"] for one in Summarizer.from_pretrained("tiny-random", 3, diversity=0.9)(text)]
    assert starts == [0, 14, 42]


def test_what_cannot_be_summarized_is_refused():
    summarize = Summarizer.from_pretrained("tiny-random")
    with pytest.raises(ValueError, match="the text is empty"):
        summarize(" \n")
    with pytest.raises(ValueError, match="num_sentences must be at least 1, not 0"):
        summarize("a", num_sentences=0)
    with pytest.raises(ValueError, match="num_sentences must be at least 1, not 0"):
        Summarizer.from_pretrained("tiny-random", 0)
    with pytest.raises(ValueError, match=r"diversity 1\.5 must lie between 0 and 1"):
        Summarizer.from_pretrained("tiny-random", diversity=1.5)
