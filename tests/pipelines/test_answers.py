"""Shapes, settings and mistakes of every pipeline, and question answering against recorded answers."""

import json
from pathlib import Path

import numpy as np
import pytest

from bert_numpy import BertConfig, BertForSequenceClassification, BertTokenizer
from bert_numpy.pipelines import (
    FeatureExtractor,
    FillMask,
    QuestionAnswerer,
    TextClassifier,
    TokenTagger,
    pipeline,
)
from bert_numpy.pipelines.entities import Token, group_entities, word_entities

MADE, *CASES = json.loads(Path(__file__).with_name("question_answers.json").read_text(encoding="utf-8"))


def test_question_answering_is_that_of_transformers_4(folder_of):
    """All but its answers of probability 0, which end before they begin."""
    answer = QuestionAnswerer.from_pretrained(folder_of("BertForQuestionAnswering"))
    assert MADE == {"transformers": "4.57.1"}
    assert len(CASES) == 75
    for case in CASES:
        settings = {name: value for name, value in case.items() if name != "found"}
        found = answer(**settings)
        expected = case["found"] if isinstance(case["found"], list) else [case["found"]]
        expected = [one for one in expected if one["score"] > 0]
        found = found if isinstance(found, list) else [found]
        assert [one.pop("score") for one in found] == pytest.approx([one.pop("score") for one in expected], abs=1e-6)
        assert found == expected


def test_questions_come_in_every_form_of_the_field(folder_of):
    answer = QuestionAnswerer.from_pretrained(folder_of("BertForQuestionAnswering"), batch_size=2)
    first = answer(question="who?", context="to be or not")
    assert list(first) == ["score", "start", "end", "answer"]
    assert answer({"question": "who?", "context": "to be or not"}) == first
    assert answer([{"question": "who?", "context": "to be or not"}]) == first
    both = answer(question=["who?", "what?"], context="to be or not")
    assert both == answer(question=["who?", "what?"], context=["to be or not"] * 2)
    assert both[0]["answer"] == first["answer"]
    assert answer(question=[], context="to be") == []


def scored(*scores):
    return np.array(scores)


def test_a_word_has_one_label_by_each_strategy():
    """Hand-computed: three pieces, two labels and "O"."""
    labels = {0: "O", 1: "B-A", 2: "B-B"}
    tokens = [
        Token("x", scored(0.1, 0.5, 0.4), 0, 1, 1, False),
        Token("##y", scored(0.1, 0.0, 0.9), 1, 2, 2, True),
        Token("##z", scored(0.8, 0.2, 0.0), 2, 3, 3, True),
        Token("be", scored(0.0, 1.0, 0.0), 4, 6, 4, False),
    ]
    expected = {"first": ("B-A", 0.5), "max": ("B-B", 0.9), "average": ("B-B", 1.3 / 3)}
    for strategy, (label, score) in expected.items():
        word, other = word_entities(tokens, labels, strategy, " ".join)
        assert (word["entity"], word["word"], word["start"], word["end"]) == (label, "x ##y ##z", 0, 3)
        assert word["score"] == pytest.approx(score)
        assert (other["entity"], other["score"]) == ("B-A", 1.0)


def test_entities_are_grouped_by_kind_until_one_begins():
    tags = ["B-PER", "I-PER", "B-PER", "I-LOC", "LOC", "O", "O", "B-LOC", "I-PER"]
    entities = [
        {"entity": tag, "score": i / 10, "word": f"w{i}", "start": 3 * i, "end": 3 * i + 2}
        for i, tag in enumerate(tags)
    ]
    found = [(g["entity_group"], g["word"], g["start"], g["end"]) for g in group_entities(entities, " ".join)]
    assert found == [
        ("PER", "w0 w1", 0, 5),
        ("PER", "w2", 6, 8),
        ("LOC", "w3 w4", 9, 14),
        ("O", "w5 w6", 15, 20),
        ("LOC", "w7", 21, 23),
        ("PER", "w8", 24, 26),
    ]


def test_a_word_with_an_accent_as_a_character_of_its_own_is_a_word(folder_of):
    """Where the reference compares lengths, and joins a "be" of three characters to the word before it."""
    tag = TokenTagger.from_pretrained(folder_of("BertForTokenClassification"), ignore_labels=[])
    text = "to b\u0301e bee"
    tokens = tag(text)
    assert [(t["word"], t["start"], t["end"]) for t in tokens] == [
        ("to", 0, 2),
        ("be", 3, 6),
        ("be", 7, 9),
        ("##e", 9, 10),
    ]
    groups = tag(text, aggregation_strategy="first")
    expected = group_entities([*tokens[:2], {**tokens[2], "word": "bee", "end": 10}], " ".join)
    assert groups == expected


def test_words_stand_where_the_delimiter_puts_them(folder_of):
    tag = TokenTagger.from_pretrained(folder_of("BertForTokenClassification"), ignore_labels=[])
    (found,) = tag(["to", "bee", "a"], is_split_into_words=True, delimiter=" - ")
    assert [(t["word"], t["start"], t["end"]) for t in found] == [
        ("to", 0, 2),
        ("be", 5, 7),
        ("##e", 7, 8),
        ("a", 11, 12),
    ]
    assert [t["score"] for t in found] == pytest.approx([t["score"] for t in tag("to bee a")], abs=1e-6)


def test_the_filled_sequence_shows_the_word():
    fill = FillMask.from_pretrained("tiny-random")
    for answer in fill("to [MASK], bee", targets=["be", "question"]):
        assert answer["sequence"] == f"to {answer['token_str']}, bee"
    first, second = fill("[MASK] be [MASK]", targets="or")
    assert (first[0]["sequence"], second[0]["sequence"]) == ("[CLS] or be [MASK] [SEP]", "[CLS] [MASK] be or [SEP]")


def test_scores_follow_the_kind_of_problem(folder_of):
    def scores(**changes):
        classify = TextClassifier.from_pretrained(folder_of("BertForSequenceClassification", **changes))
        logits = classify.model(**classify.tokenizer("to be", return_tensors="np")).logits[0].astype(float)
        found = {answer["label"]: answer["score"] for answer in classify("to be", top_k=None)}
        return logits, [found[f"LABEL_{i}"] for i in range(len(logits))]

    logits, found = scores(num_labels=1, problem_type="regression")
    assert found == pytest.approx(logits, abs=1e-6)
    for changes in ({"num_labels": 1}, {"num_labels": 3, "problem_type": "multi_label_classification"}):
        logits, found = scores(**changes)
        assert found == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-6)
    logits, found = scores(num_labels=3)
    assert found == pytest.approx(np.exp(logits) / np.exp(logits).sum(), abs=1e-6)


def test_empty_inputs_have_answers_of_the_same_shape(folder_of):
    classify = TextClassifier.from_pretrained(folder_of("BertForSequenceClassification"))
    tag = TokenTagger.from_pretrained(folder_of("BertForTokenClassification"))
    assert classify([]) == tag([]) == []
    assert len(classify("")) == 1
    assert tag("") == []
    assert tag(["", "\u200b"]) == [[], []]
    assert FillMask.from_pretrained("tiny-random")([]) == []


def test_rows_of_the_model_beyond_the_vocabulary_are_no_words(folder_of):
    fill = FillMask.from_pretrained(folder_of("BertForMaskedLM", vocab_size=72))
    answers = fill("to [MASK]", top_k=500)
    assert {answer["token"] for answer in answers} == set(range(71))
    assert sum(answer["score"] for answer in answers) < 1


def test_targets_restrict_the_words_and_unknown_ones_warn():
    fill = FillMask.from_pretrained("tiny-random")
    everything = {answer["token_str"]: answer["score"] for answer in fill("to [MASK]", top_k=71)}
    found = fill("to [MASK]", targets=["be", "or", "be"])
    assert {answer["token_str"]: answer["score"] for answer in found} == {w: everything[w] for w in ("be", "or")}
    with pytest.warns(UserWarning, match="the target 'bee' is not in the vocabulary; 'be' stands for it"):
        assert [answer["token_str"] for answer in fill("to [MASK]", targets="bee")] == ["be"]
    with (
        pytest.warns(UserWarning, match="the target '' has no token"),
        pytest.raises(ValueError, match="targets names no word"),
    ):
        fill("to [MASK]", targets=[""])


def test_features_of_long_texts_are_cut_if_told_so(folder_of):
    extract = FeatureExtractor.from_pretrained(folder_of("BertModel"))
    assert extract(["a " * 50], truncation=True, return_tensors=True)[0].shape == (1, 37, 20)
    with pytest.raises(ValueError, match="exceeds max_position_embeddings 37"):
        extract("a " * 50)


def test_settings_of_the_pipeline_hold_until_a_call_says_otherwise(folder_of):
    folder = folder_of("BertForTokenClassification")
    tag = pipeline("ner", model=folder, aggregation_strategy="max", ignore_labels=[], max_length=9, stride=2)
    assert "entity_group" in tag("to be")[0]
    assert "entity" in tag("to be", aggregation_strategy="none")[0]
    assert tag("a b c d e f g h i j k l", stride=0) != tag("a b c d e f g h i j k l")
    classify = pipeline("text-classification", model=folder_of("BertForSequenceClassification"), top_k=2)
    assert [len(answer) for answer in classify(["a", "b"])] == [2, 2]
    assert len(classify("a", top_k=None)) == 6


REFUSED = {
    "no such task": (lambda f: pipeline("dance"), ValueError, "no pipeline 'dance'; choose from fill-mask, text-cl"),
    "generation": (lambda f: pipeline("summarization"), ValueError, "BERT is an encoder and does not generate"),
    "translation": (lambda f: pipeline("translation_en_to_fr"), ValueError, "does not generate; choose from"),
    "no model": (lambda f: pipeline("ner"), ValueError, r"pipeline\('ner'\) needs a model"),
    "a model alone": (
        lambda f: pipeline("text-classification", model=BertForSequenceClassification.from_pretrained(f)),
        ValueError,
        "a model does not know its words; give tokenizer",
    ),
    "another model": (
        lambda f: pipeline("ner", model=BertForSequenceClassification.from_pretrained(f), tokenizer=f),
        TypeError,
        "ner needs a BertForTokenClassification, not a BertForSequenceClassification",
    ),
    "another folder": (
        lambda f: pipeline("ner", model=f),
        ValueError,
        "has no head that labels tokens; train one: bert-numpy finetune tag .config.json says that it is a BertForSeq",
    ),
    "no head at all": (
        lambda f: pipeline("text-classification", model="tiny-random"),
        ValueError,
        r"has no head that classifies texts; train one: bert-numpy finetune classify \(missing: classifier.weight",
    ),
    "no head for questions": (
        lambda f: pipeline("question-answering", model=f),
        ValueError,
        r"has no head that finds answers; train one: bert-numpy finetune qa \(missing: qa_outputs.weight",
    ),
    "no head for words": (lambda f: pipeline("fill-mask", model=f), ValueError, "has no MLM head, so it cannot fill"),
    "a setting": (lambda f: pipeline("text-classification", model=f, fly=1), TypeError, "fly"),
    "a function": (lambda f: TextClassifier.from_pretrained(f)("a", function_to_apply="x"), ValueError, "choose from"),
    "top_k": (lambda f: TextClassifier.from_pretrained(f)("a", top_k=0), ValueError, "top_k must be at least 1 or No"),
    "a number": (lambda f: TextClassifier.from_pretrained(f)(["a", 1]), TypeError, "input 2 is no text: give a str"),
    "another key": (lambda f: TextClassifier.from_pretrained(f)({"txt": "a"}), TypeError, "input 1 is no text"),
    "too long": (lambda f: TextClassifier.from_pretrained(f, max_length=38), ValueError, "max_length 38 must lie bet"),
    "no batch": (lambda f: TextClassifier.from_pretrained(f, batch_size=0), ValueError, "batch_size must be at least"),
}


@pytest.mark.parametrize(("call", "error", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_done_is_refused_in_one_line(call, error, message, folder_of):
    with pytest.raises(error, match=message) as found:
        call(folder_of("BertForSequenceClassification"))
    assert "\n" not in str(found.value)


NO_ANSWER = {
    "no context": ({"question": "who?"}, ValueError, "needs a question and the context to find it in"),
    "empty": ({"question": ["who?", " "], "context": "to"}, ValueError, "question 2 is empty"),
    "no text": ({"question": "who?", "context": ["\n"]}, ValueError, "context 1 is empty"),
    "counts": ({"question": ["a", "b"], "context": ["c"]}, ValueError, "there are 2 questions and 1 contexts"),
    "twice": ({"inputs": {}, "question": "a"}, ValueError, "not both forms"),
    "keys": ({"inputs": [{"question": "a"}]}, TypeError, "a question is asked as"),
    "a number": ({"question": 1, "context": "a"}, TypeError, "int"),
    "top_k": ({"question": "a", "context": "a", "top_k": 0}, ValueError, "top_k 0 and max_answer_len 15 must be at l"),
}


@pytest.mark.parametrize(("arguments", "error", "message"), NO_ANSWER.values(), ids=NO_ANSWER.keys())
def test_questions_that_cannot_be_answered_are_refused(arguments, error, message, folder_of):
    answer = QuestionAnswerer.from_pretrained(folder_of("BertForQuestionAnswering"))
    with pytest.raises(error, match=message):
        answer(**arguments)


def test_heads_of_equal_names_are_told_apart_by_the_configuration_alone(folder_of, tmp_path):
    """A tagger of old has a pooler too: only config.json says what it is; one that says nothing is believed."""
    folder = folder_of("BertForSequenceClassification")
    model = BertForSequenceClassification.from_pretrained(folder)
    model.save_pretrained(tmp_path)
    BertTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    values = BertConfig.from_pretrained(tmp_path).to_dict()
    for architectures, fits in ((["BertForTokenClassification"], False), (None, True), (["BertModel"], True)):
        (tmp_path / "config.json").write_text(json.dumps({**values, "architectures": architectures}))
        if fits:
            assert TextClassifier.from_pretrained(tmp_path)("to be")
        else:
            with pytest.raises(ValueError, match="says that it is a BertForTokenClassification"):
                TextClassifier.from_pretrained(tmp_path)
