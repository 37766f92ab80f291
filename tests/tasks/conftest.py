"""A BERT that knows forty words and trains in a second, and small files of every kind."""

import json

import numpy as np
import pytest

from bert_numpy import BertConfig, BertForPreTraining, BertTokenizer

LINES = (
    "win free cash now click prize call me at home see you later dinner ham good bad film was very the a in lives",
    "works for met ada alan grace rome paris bank nasa where who does live ? . , melts sleeps flies ice cat bird",
)
WORDS = " ".join(LINES).split()
SPAM = ["win free cash now", "click now", "free prize", "call now win cash", "cash prize now click"]
HAM = ["see you later", "dinner at home", "call me later", "good film", "see me at dinner"]


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """The folder of a pre-trained model: fresh weights, but a real configuration and tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "base"
    tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS], model_max_length=24)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_attention_heads=2,
        num_hidden_layers=1,
        intermediate_size=32,
        max_position_embeddings=24,
        initializer_range=0.2,
    )
    BertForPreTraining(config, rng=3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def sms(tmp_path):
    """A file of texts and classes."""
    rng = np.random.default_rng(0)
    rows = ["text,label"]
    for _ in range(48):
        is_spam = rng.random() < 0.5
        rows.append(f"{rng.choice(SPAM if is_spam else HAM)},{'spam' if is_spam else 'ham'}")
    path = tmp_path / "sms.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def stars(tmp_path):
    """A file of pairs of texts and numbers: how many words are good, less those that are bad."""
    rng = np.random.default_rng(0)
    rows = ["sentence1,sentence2,score"]
    for _ in range(40):
        words = rng.choice(["good", "bad", "film"], 4)
        score = int((words == "good").sum()) - int((words == "bad").sum())
        rows.append(f"{' '.join(words)},the film,{score / 2}")
    path = tmp_path / "stars.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


TAGGED = (
    "ada lives in rome .|B-PER O O B-LOC O",
    "alan works for nasa .|B-PER O O B-ORG O",
    "the bank in paris met grace .|O O O B-LOC O B-PER O",
    "grace met ada in rome .|B-PER O B-PER O B-LOC O",
    "nasa met alan grace .|B-ORG O B-PER I-PER O",
)


@pytest.fixture
def tagged(tmp_path):
    """A file of words and tags."""
    sentences = []
    for line in TAGGED:
        words, tags = (part.split() for part in line.split("|"))
        sentences.append("\n".join(f"{word} {tag}" for word, tag in zip(words, tags, strict=True)))
    path = tmp_path / "names.conll"
    path.write_text("\n\n".join(sentences) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def questions(tmp_path):
    """A file in the form of SQuAD v1.1, with texts longer than a window of 14 tokens."""
    paragraphs = []
    for number, (who, where, firm) in enumerate([("ada", "rome", "nasa"), ("alan", "paris", "bank")]):
        context = f"{who} works for the {firm} , very good , and {who} lives in {where} ."
        asked = [("where does " + who + " live ?", where), ("who works for the " + firm + " ?", who)]
        qas = [
            {
                "id": f"q{number}{i}",
                "question": question,
                "answers": [{"text": answer, "answer_start": context.index(answer)}],
            }
            for i, (question, answer) in enumerate(asked)
        ]
        paragraphs.append({"context": context, "qas": qas})
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}), "utf-8")
    return path


@pytest.fixture
def choices(tmp_path):
    """A file of beginnings and endings."""
    endings = {"the ice": "melts", "the cat": "sleeps", "the bird": "flies"}
    rng = np.random.default_rng(0)
    path = tmp_path / "choices.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(24):
            start = str(rng.choice(list(endings)))
            order = [str(ending) for ending in rng.permutation(list(endings.values()))]
            row = {"context": start, "choices": order, "label": order.index(endings[start])}
            file.write(json.dumps(row) + "\n")
    return path
