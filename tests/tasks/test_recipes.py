"""Every task from a file to a trained model and back: what is learned, what is written, what is said afterwards."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bert_numpy import (
    BertConfig,
    BertForPreTraining,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertTokenizer,
)
from bert_numpy.checkpoints import CheckpointError
from bert_numpy.pipelines import QuestionAnswerer, TextClassifier, TokenTagger
from bert_numpy.tasks import (
    MultipleChoice,
    QuestionAnswering,
    Settings,
    Tagging,
    TextClassification,
    TextRegression,
    evaluate,
    finetune,
    predict,
    task_name,
)
from bert_numpy.tokenization.training import train_wordpiece
from bert_numpy.training.trainer import Trainer

NAMES = Path(__file__).with_name("names.conll")
FAST = Settings(epochs=8, batch_size=8, learning_rate=1e-2, save_steps=1000)


@pytest.fixture(autouse=True)
def no_pictures(request, monkeypatch):
    """Drawing takes longer than training here; one test draws."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("bert_numpy.tasks.folders._draw", lambda *_: None)


@pytest.fixture
def pictures():
    """Asks for pictures."""


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


# ---- each task ----


def test_classify_learns_and_leaves_a_folder_that_everything_else_understands(base, sms, tmp_path, pictures):
    outcome = finetune(TextClassification(), base, sms, tmp_path / "out", eval_fraction=0.25, settings=FAST)
    assert outcome.metrics["f1"] == outcome.metrics["accuracy"] == outcome.metrics["matthews_correlation"] == 1.0
    assert (outcome.metrics["positive"], outcome.metrics["examples"]) == ("spam", 12)
    config = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))
    assert config["id2label"] == {"0": "ham", "1": "spam"}
    assert config["label2id"] == {"ham": 0, "spam": 1}
    assert (config["architectures"], config["problem_type"]) == (
        ["BertForSequenceClassification"],
        "single_label_classification",
    )
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        *("config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "tokenizer_config.json"),
        *("train_log.jsonl", "metrics.json", "curves.png", "confusion.png"),
    }
    saved = json.loads((tmp_path / "out" / "metrics.json").read_text("utf-8"))
    assert (saved["metrics"], saved["train_examples"]) == (outcome.metrics, 36)
    classify = TextClassifier.from_pretrained(tmp_path / "out")
    assert [answer["label"] for answer in classify(["win cash now", "see you at dinner"])] == ["spam", "ham"]


def test_evaluate_gives_the_numbers_of_the_training(base, sms, tmp_path):
    settings = Settings(epochs=1, batch_size=16, learning_rate=2e-3)
    trained = finetune(TextClassification(), base, sms, tmp_path / "out", evaluation=sms, settings=settings)
    assert 0 < trained.metrics["accuracy"] < 1  # else equality would say little
    again = evaluate(tmp_path / "out", sms)
    assert again.metrics == trained.metrics
    assert [row["score"] for row in again.answers] == pytest.approx([row["score"] for row in trained.answers], abs=1e-6)


def test_regress_learns_numbers(base, stars, tmp_path):
    settings = Settings(epochs=40, batch_size=8, learning_rate=1e-2, save_steps=1000)
    outcome = finetune(TextRegression(), base, stars, tmp_path / "out", evaluation=stars, settings=settings)
    assert outcome.metrics["pearson"] > 0.9
    config = BertConfig.from_pretrained(tmp_path / "out")
    assert (config.num_labels, config.problem_type, task_name(config)) == (1, "regression", "regress")
    answers = predict(tmp_path / "out", stars).answers
    true = np.array(outcome.examples["label"])
    found = np.array([answer["label"] for answer in answers])
    assert outcome.metrics["mean_squared_error"] == pytest.approx(np.mean((true - found) ** 2), rel=1e-4)


def test_tag_overfits_and_reads_long_sentences_through_windows(base, tagged, tmp_path):
    settings = Settings(epochs=30, batch_size=2, learning_rate=1e-2, save_steps=1000)
    outcome = finetune(Tagging(), base, tagged, tmp_path / "out", evaluation=tagged, settings=settings)
    assert (outcome.metrics["f1"], outcome.metrics["accuracy"]) == (1.0, 1.0)
    assert outcome.metrics["f1_by_type"] == {"LOC": 1.0, "ORG": 1.0, "PER": 1.0}
    words = ["ada", "lives", "in", "rome", "."] * 12  # 60 words, of which the model reads 22 at once
    path = tmp_path / "long.txt"
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    (answer,) = predict(tmp_path / "out", path).answers
    assert len(answer["tags"]) == 60
    tagger = TokenTagger.from_pretrained(tmp_path / "out", ignore_labels=[], stride=6)
    of_pipeline = [token["entity"] for token in tagger([words], is_split_into_words=True)[0]]
    assert answer["tags"] == of_pipeline  # one piece a word here; each from the window in which it is deepest


def test_tag_overfits_sentences_of_which_every_word_was_tagged_by_hand(base, tmp_path):
    """Names of several words and several pieces, and words that are a name here and none there."""
    texts = [line.split(" ")[0] for line in NAMES.read_text("utf-8").splitlines() if line]
    tokenizer = BertTokenizer(train_wordpiece(texts, 150, do_lower_case=False), do_lower_case=False)
    assert len(tokenizer(" ".join(texts))["input_ids"]) > 1.5 * len(texts)
    config = BertConfig.from_pretrained(base).changed(vocab_size=len(tokenizer), max_position_embeddings=64)
    BertForPreTraining(config, rng=1).save_pretrained(tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "start")
    settings = Settings(epochs=60, batch_size=4, learning_rate=1e-2, save_steps=1000)
    finetune(Tagging(), tmp_path / "start", NAMES, tmp_path / "out", settings=settings)
    metrics = evaluate(tmp_path / "out", NAMES).metrics
    assert metrics["examples"] == 16
    assert metrics["f1"] >= 0.95
    assert min(metrics["f1_by_type"].values()) >= 0.9


def test_qa_overfits_through_windows(base, questions, tmp_path):
    settings = Settings(epochs=60, batch_size=4, learning_rate=5e-3, max_length=18, stride=5, save_steps=1000)
    outcome = finetune(QuestionAnswering(), base, questions, tmp_path / "out", evaluation=questions, settings=settings)
    assert outcome.metrics == {"exact_match": 100.0, "f1": 100.0, "examples": 4}
    assert evaluate(tmp_path / "out", questions).metrics == outcome.metrics  # the folder knows its windows
    answer = QuestionAnswerer.from_pretrained(tmp_path / "out", max_seq_len=18, doc_stride=5)
    context = outcome.examples["context"][0]
    assert answer(question="where does ada live ?", context=context)["answer"] == "rome"


@pytest.mark.reference
@pytest.mark.skipif(
    not {"BERT_NUMPY_XQUAD", "BERT_NUMPY_MINILM"} <= set(os.environ),
    reason="BERT_NUMPY_XQUAD and BERT_NUMPY_MINILM name no folders",
)
def test_a_real_model_overfits_real_questions(tmp_path):
    """20 questions on Warsaw, from XQuAD; takes minutes."""
    content = json.loads(Path(os.environ["BERT_NUMPY_XQUAD"], "xquad.en.json").read_text("utf-8"))
    (warsaw,) = (article for article in content["data"] if article["title"] == "Warsaw")
    left = 20
    for paragraph in warsaw["paragraphs"]:
        paragraph["qas"] = paragraph["qas"][:left]
        left -= len(paragraph["qas"])
    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps({"version": "1.1", "data": [warsaw]}), "utf-8")
    settings = Settings(epochs=60, batch_size=4, learning_rate=2e-4, max_length=320, save_steps=100_000)
    model = os.environ["BERT_NUMPY_MINILM"]
    outcome = finetune(QuestionAnswering(), model, questions, tmp_path / "out", evaluation=questions, settings=settings)
    assert outcome.metrics["examples"] == 20
    assert outcome.metrics["exact_match"] >= 95
    assert outcome.metrics["f1"] >= 95


def test_choice_learns(base, choices, tmp_path):
    settings = Settings(epochs=25, batch_size=8, learning_rate=1e-2, save_steps=1000)
    outcome = finetune(MultipleChoice(), base, choices, tmp_path / "out", evaluation=choices, settings=settings)
    assert outcome.metrics == {"accuracy": 1.0, "examples": 24}
    right = [example["label"] for example in outcome.examples]
    assert [answer["label"] for answer in predict(tmp_path / "out", choices).answers] == right


# ---- heads ----


def test_a_head_of_the_same_task_and_labels_is_kept_any_other_is_drawn_afresh(base, sms, tagged, tmp_path):
    finetune(TextClassification(), base, sms, tmp_path / "first", settings=FAST)
    trained = BertForSequenceClassification.from_pretrained(tmp_path / "first").classifier.weight.data
    still = Settings(epochs=1, batch_size=64, learning_rate=1e-12, warmup=0)
    finetune(TextClassification(), tmp_path / "first", sms, tmp_path / "second", settings=still)
    kept = BertForSequenceClassification.from_pretrained(tmp_path / "second").classifier.weight.data
    np.testing.assert_allclose(kept, trained, atol=1e-6)
    other = tmp_path / "other.csv"
    other.write_text(sms.read_text("utf-8").replace("ham", "no").replace("spam", "yes"), encoding="utf-8")
    finetune(TextClassification(), tmp_path / "first", other, tmp_path / "third", settings=still)
    fresh = BertForSequenceClassification.from_pretrained(tmp_path / "third").classifier.weight.data
    assert np.abs(fresh - trained).max() > 0.05
    two_tags = tmp_path / "two.conll"
    two_tags.write_text("win ham\ncash spam\n", encoding="utf-8")  # a head of the same name, shape and labels
    finetune(Tagging(), tmp_path / "first", two_tags, tmp_path / "fourth", settings=still)
    tagger = BertForTokenClassification.from_pretrained(tmp_path / "fourth")
    assert tagger.config.id2label == {0: "ham", 1: "spam"}
    assert np.abs(tagger.classifier.weight.data - trained).max() > 0.05


def test_a_model_without_a_task_is_refused(base, sms):
    with pytest.raises(ValueError, match=r"was not trained for a task: the architectures .* BertForPreTraining"):
        evaluate(base, sms)


# ---- long texts ----


def test_windows_of_a_text_are_weighted_by_their_new_tokens(base, tmp_path):
    path = tmp_path / "long.csv"
    path.write_text(f"text,label\n{'win ' * 30},spam\nhome,ham\n", encoding="utf-8")
    finetune(TextClassification(), base, path, tmp_path / "out", settings=Settings(epochs=1, max_length=12, stride=3))
    by_task = predict(tmp_path / "out", path).answers
    classify = TextClassifier.from_pretrained(tmp_path / "out", max_length=12, stride=3)
    by_pipeline = classify(["win " * 30, "home"])
    assert [row["label"] for row in by_task] == [row["label"] for row in by_pipeline]
    np.testing.assert_allclose([r["score"] for r in by_task], [r["score"] for r in by_pipeline], atol=1e-6)


def test_cut_texts_are_counted_aloud(base, tmp_path, caplog):
    path = tmp_path / "long.csv"
    path.write_text(f"text,label\n{'win ' * 30},spam\nhome,ham\n", encoding="utf-8")
    finetune(TextClassification(), base, path, tmp_path / "out", settings=Settings(epochs=1, max_length=12))
    assert "1 of 2 texts are longer than 12 tokens and are cut" in caplog.messages


# ---- the reference library ----


@pytest.mark.reference
def test_the_reference_library_opens_the_folder_and_agrees(base, sms, tmp_path):
    transformers = pytest.importorskip("transformers")
    outcome = finetune(TextClassification(), base, sms, tmp_path / "out", evaluation=sms, settings=FAST)
    classify = transformers.pipeline("text-classification", str(tmp_path / "out"), device="cpu")
    for theirs, ours in zip(classify(outcome.examples["text"]), outcome.answers, strict=True):
        assert theirs["label"] == ours["label"]
        assert theirs["score"] == pytest.approx(ours["score"], abs=1e-5)


# ---- what may go wrong ----


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"text,remark\nhi,a\n", "line 1: has no usual column name such as 'label'"),
        (b"text,label\nhi,ham\nhi,eggs\n", "line 3: label 'eggs' is unknown; the labels are 'ham', 'spam'"),
        (b"text,label\nhi,ham\n\xff,ham\n", "line 3: byte 18 of the file, 0xff, is not utf-8"),
        (b"text,label\nhi,ham\nhi\n", "line 3: has 1 cell"),
    ],
)
def test_bad_files_are_named_with_the_line_and_leave_nothing(base, sms, tmp_path, content, complaint):
    path = tmp_path / "dev.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as error:
        finetune(TextClassification(), base, sms, tmp_path / "out", evaluation=path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_one_class_only_an_answer_elsewhere_and_a_choice_too_high_are_refused(base, tmp_path):
    one = tmp_path / "one.csv"
    one.write_text("text,label\nhi,ham\nyo,ham\n", encoding="utf-8")
    with pytest.raises(ValueError, match="all training examples have the label 'ham'"):
        finetune(TextClassification(), base, one, tmp_path / "out")
    squad = tmp_path / "squad.json"
    answer = {"text": "rome", "answer_start": 0}
    paragraph = {"context": "in rome", "qas": [{"id": "q7", "question": "where ?", "answers": [answer]}]}
    squad.write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}), encoding="utf-8")
    with pytest.raises(ValueError, match="'q7': the answer 'rome' does not stand in its context at answer_start 0"):
        finetune(QuestionAnswering(), base, squad, tmp_path / "out")
    choice = tmp_path / "choice.jsonl"
    choice.write_text('{"context": "a", "choices": ["b", "c"], "label": 2}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 1: the label '2' is not the number of a choice, 0 to 1"):
        finetune(MultipleChoice(), base, choice, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_not_touched_unless_told_so(base, sms, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="is not empty; overwrite it, or choose another folder"):
        finetune(TextClassification(), base, sms, out, settings=Settings(epochs=1))
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    finetune(TextClassification(), base, sms, out, settings=Settings(epochs=1, overwrite=True))
    assert (out / "thesis.txt").exists()
    with pytest.raises(ValueError, match="is complete; there is nothing to resume"):
        finetune(TextClassification(), base, sms, out, settings=Settings(epochs=1, resume=True))


def test_a_disk_that_fills_at_the_end_leaves_no_half_model_and_the_run_can_be_finished(
    base, sms, tmp_path, monkeypatch
):
    settings = Settings(epochs=2, batch_size=8)
    finetune(TextClassification(), base, sms, tmp_path / "whole", settings=settings)
    original = Trainer.save_model

    def full(self, output_dir=None):
        original(self, output_dir)
        if ".finished." in str(output_dir):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Trainer, "save_model", full)
    with pytest.raises(CheckpointError, match="out cannot be written: no space left on device"):
        finetune(TextClassification(), base, sms, tmp_path / "out", settings=settings)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"train_log.jsonl", "checkpoint-12"}
    monkeypatch.undo()
    resumed = Settings(epochs=2, batch_size=8, resume=True)
    finetune(TextClassification(), base, sms, tmp_path / "out", settings=resumed)
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert not list((tmp_path / "out").glob("checkpoint-*"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be sent Ctrl-C alone there")
def test_ctrl_c_saves_and_resume_ends_with_the_same_bits(base, sms, tmp_path):
    program = (
        "import sys; from bert_numpy.tasks import *\n"
        "finetune(TextClassification(), sys.argv[1], sys.argv[2], sys.argv[3], eval_fraction=0.25,\n"
        "    settings=Settings(epochs=15, batch_size=4, learning_rate=1e-3, resume=len(sys.argv) > 4))"
    )

    def command(out, *more):
        return [sys.executable, "-c", program, str(base), str(sms), str(out), *more]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    process = subprocess.Popen(command(tmp_path / "out"), stderr=subprocess.PIPE)
    log = tmp_path / "out" / "train_log.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size > 2000):
        pass
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate()[1]
    (checkpoint,) = (tmp_path / "out").glob("checkpoint-*")
    assert not (tmp_path / "out" / "config.json").exists()
    subprocess.run(command(tmp_path / "out", "resume"), check=True, capture_output=True)
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert not checkpoint.exists()
