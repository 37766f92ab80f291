"""The same answers as the pipelines of transformers, in the same shapes, from the same folders."""

import math
import warnings

import numpy as np
import pytest

from bert_numpy import BertTokenizer, models
from bert_numpy.pipelines import pipeline

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("ignore")]


def reference(*arguments, **settings):
    """A pipeline of transformers, in float64."""
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    return transformers.pipeline(*arguments, dtype="float64", **settings)


def own(task, folder, **settings):
    """The same pipeline of this package, likewise: in float32 the two may differ by more than 1e-6."""
    made = pipeline(task, model=folder, **settings)
    made.model = made.model.astype(np.float64)
    return made


def check_same(ours, theirs, path="answer"):
    """Equal in structure, keys, types of leaves and texts; numbers equal to 1e-6."""
    if isinstance(theirs, list | tuple):
        assert isinstance(ours, list), path
        assert len(ours) == len(theirs), path
        for i, pair in enumerate(zip(ours, theirs, strict=True)):
            check_same(*pair, f"{path}[{i}]")
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs), path
        for name in theirs:
            check_same(ours[name], theirs[name], f"{path}[{name!r}]")
    elif isinstance(theirs, float | np.floating):
        assert isinstance(ours, float), path
        assert math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-6), (path, ours, theirs)
    else:
        assert ours == theirs, path
        assert type(ours) is type(theirs), path


def test_fill_mask(folder_of, texts):
    folder = folder_of("BertForMaskedLM")
    ours, theirs = own("fill-mask", folder), reference("fill-mask", str(folder))
    masked = [f"{text} [MASK]" for text in texts] + ["[MASK] be [MASK], bee", "to [MASK]be"]
    check_same(ours(masked), theirs(masked))
    check_same(ours(masked[0]), theirs(masked[0]))
    check_same(ours(masked[:1]), theirs(masked[:1]))
    check_same(ours(masked[-2], top_k=3), theirs(masked[-2], top_k=3))
    targets = ["be", "question", "##e", "tea"]
    check_same(ours(masked[1], targets=targets), theirs(masked[1], targets=targets))
    check_same(ours("[MASK] to", targets="or", top_k=1), theirs("[MASK] to", targets="or", top_k=1))
    long = "to be " * 40 + "[MASK]"
    check_same(
        ours("[MASK] " + long, tokenizer_kwargs={"truncation": True, "max_length": 20}),
        theirs("[MASK] " + long, tokenizer_kwargs={"truncation": True, "max_length": 20}),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_labels": 1},
        {"num_labels": 1, "problem_type": "regression"},
        {"num_labels": 3, "problem_type": "multi_label_classification"},
    ],
)
def test_text_classification(folder_of, texts, changes):
    folder = folder_of("BertForSequenceClassification", **changes)
    ours, theirs = own("sentiment-analysis", folder), reference("text-classification", str(folder))
    check_same(ours(texts), theirs(texts))
    pair = {"text": texts[0], "text_pair": texts[1]}
    for inputs in (texts[0], texts[:1], texts[:3], pair, [pair, pair]):
        check_same(ours(inputs), theirs(inputs))
        for top_k in (None, 1, 2):
            check_same(ours(inputs, top_k=top_k), theirs(inputs, top_k=top_k))
    for function in ("none", "softmax", "sigmoid"):
        check_same(
            ours(texts[:4], top_k=None, function_to_apply=function),
            theirs(texts[:4], top_k=None, function_to_apply=function),
        )
    ours, theirs = (
        own("text-classification", folder, top_k=2),
        reference("text-classification", str(folder), top_k=2),
    )
    for inputs in (texts[0], texts[:1], texts[:3]):
        check_same(ours(inputs), theirs(inputs))
    long = ["to be or not " * 30, "to"]
    check_same(
        ours(long, truncation=True, max_length=37, top_k=2), theirs(long, truncation=True, max_length=37, top_k=2)
    )


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_token_classification(folder_of, texts, strategy):
    folder = folder_of("BertForTokenClassification")
    ours = own("ner", folder, aggregation_strategy=strategy)
    theirs = reference("token-classification", str(folder), aggregation_strategy=strategy)
    check_same(ours(texts), theirs(texts))
    check_same(ours(texts[0]), theirs(texts[0]))
    check_same(ours(texts[:1]), theirs(texts[:1]))
    check_same(ours(texts, ignore_labels=[]), theirs(texts, ignore_labels=[]))
    check_same(ours(texts, ignore_labels=["PER", "O"]), theirs(texts, ignore_labels=["PER", "O"]))
    words = [text.split() for text in texts[:20]]
    check_same(ours(words, is_split_into_words=True), theirs(words, is_split_into_words=True))
    check_same(ours(words[0], is_split_into_words=True), theirs(words[0], is_split_into_words=True))
    check_same(
        ours(words, is_split_into_words=True, delimiter=""), theirs(words, is_split_into_words=True, delimiter="")
    )


def test_feature_extraction(folder_of, texts):
    folder = folder_of("BertModel")
    ours, theirs = own("feature-extraction", folder), reference("feature-extraction", str(folder))
    for found, expected in zip(ours(texts), theirs(texts), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.shape(ours(texts[0])) == np.shape(theirs(texts[0]))
    assert ours(texts[0], return_tensors=True).shape == tuple(theirs(texts[0], return_tensors=True).shape)


def test_answers_are_the_spans_that_transformers_decodes(folder_of, texts):
    """The library has no such pipeline any more, but its decoding of spans is left; the rest is its tokenizer."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from transformers.pipelines.document_question_answering import select_starts_ends

    folder = folder_of("BertForQuestionAnswering")
    answer = own("question-answering", folder, align_to_words=False, top_k=4)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).double().eval()
    for context in [text for text in texts if len(text) > 12]:
        inputs = tokenizer("to be?", context, return_tensors="pt", return_offsets_mapping=True)
        offsets = inputs.pop("offset_mapping")[0].tolist()
        with torch.no_grad(), warnings.catch_warnings():
            outputs = model(**inputs)
        outside = [[position != 0 and who != 1 for position, who in enumerate(inputs.sequence_ids(0))]]
        starts, ends, scores, null = select_starts_ends(
            outputs.start_logits.numpy(), outputs.end_logits.numpy(), outside, inputs["attention_mask"].numpy(),
            top_k=4, handle_impossible_answer=True, max_answer_len=3,
        )  # fmt: skip
        expected = {}
        for start, end, score in zip(starts, ends, scores, strict=True):
            text = context[offsets[start][0] : offsets[end][1]]
            expected[text.lower()] = expected.get(text.lower(), 0) + float(score)
        expected[""] = null
        best = sorted(expected.items(), key=lambda item: -item[1])[:4]
        found = answer(question="to be?", context=context, max_answer_len=3, handle_impossible_answer=True)
        assert [one["answer"].lower() for one in found] == [text for text, _ in best]
        np.testing.assert_allclose([one["score"] for one in found], [score for _, score in best], atol=1e-6)


@pytest.mark.parametrize("task", ["fill-mask", "text-classification", "token-classification", "question-answering"])
def test_a_model_and_its_tokenizer_do_the_same_as_their_folder(folder_of, task):
    name = {
        "fill-mask": "BertForMaskedLM",
        "text-classification": "BertForSequenceClassification",
        "token-classification": "BertForTokenClassification",
        "question-answering": "BertForQuestionAnswering",
    }[task]
    folder = folder_of(name)
    model, tokenizer = getattr(models, name).from_pretrained(folder), BertTokenizer.from_pretrained(folder)
    asked = {"question": "who?", "context": "to be or not"} if task == "question-answering" else "to be [MASK]"
    assert pipeline(task, model=model, tokenizer=tokenizer)(asked) == pipeline(task, model=str(folder))(asked)
