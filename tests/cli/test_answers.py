"""The commands classify, tag, answer and summarize as their users call them."""

import json

import numpy as np
import pytest
from support import randomize

from bert_numpy import BertConfig, BertTokenizer, models
from bert_numpy.cli import main
from bert_numpy.pipelines import QuestionAnswerer, Summarizer, TextClassifier, TokenTagger

HEADS = {
    "classify": "BertForSequenceClassification",
    "tag": "BertForTokenClassification",
    "answer": "BertForQuestionAnswering",
}
NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"]
LONG = " ".join("abcdefghijklmnopqrstuvwxyz" * 3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """For each command a folder whose model has the head."""
    found = {}
    for command, name in HEADS.items():
        found[command] = tmp_path_factory.mktemp(command)
        model = getattr(models, name)(BertConfig.from_pretrained("tiny-random", id2label=dict(enumerate(NAMES))), rng=3)
        randomize(model, np.random.default_rng(3))
        model.save_pretrained(found[command])
        BertTokenizer.from_pretrained("tiny-random").save_pretrained(found[command])
    return found


@pytest.fixture
def run(folders, capsys):
    """A function (command, *arguments) -> (exit code, stdout, stderr), with the model that has the head."""

    def call(command, *arguments):
        model = ["--model", folders[command]] if command in folders else []
        code = main([str(argument) for argument in (command, *arguments, *model)])
        return code, *capsys.readouterr()

    return call


def test_classify_prints_labels_in_the_order_of_the_texts(run, folders, tmp_path):
    texts = ["to be", LONG, "", "bee, or not"]
    expected = TextClassifier.from_pretrained(folders["classify"])(texts, top_k=2)
    code, out, err = run("classify", *texts, "--top-k", "2", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert rows == [{"text": t, "answers": a} for t, a in zip(texts, expected, strict=True)]
    _, out, _ = run("classify", *texts)
    assert out.splitlines() == [
        f"{a[0]['score']:8.4f}  {a[0]['label']:<16}  {t}" for t, a in zip(texts, expected, strict=True)
    ]
    (tmp_path / "lines.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    assert run("classify", "--input", tmp_path / "lines.txt")[1] == out


def test_classify_reads_pairs_windows_and_beginnings(run, folders):
    classify = TextClassifier.from_pretrained(folders["classify"])

    def score(*arguments):
        return json.loads(run("classify", *arguments, "--json")[1])["answers"][0]["score"]

    pair = {"text": "to be", "text_pair": "or not"}
    assert score("to be\tor not", "--pairs") == classify(pair)["score"]
    windows = classify(LONG, max_length=9, stride=3)[0]["score"]
    assert score(LONG, "--max-length", "9", "--stride", "3", "--batch-size", "2") == pytest.approx(windows, abs=1e-6)
    assert score(LONG, "--truncate") == classify(LONG, truncation=True)[0]["score"]
    assert len({windows, score(LONG), score(LONG, "--truncate"), score(LONG, "--stride", "0")}) == 4


def test_tag_prints_entities_with_their_places(run, folders):
    texts = ["To bee, or", "not a quiz"]
    expected = TokenTagger.from_pretrained(folders["tag"], aggregation_strategy="first", ignore_labels=["PER"])(texts)
    code, out, _ = run("tag", *texts, "--aggregation", "first", "--ignore", "PER", "--json")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"text": t, "entities": e} for t, e in zip(texts, expected, strict=True)
    ]
    _, out, _ = run("tag", *texts, "--ignore", "")
    first, second = out.split("\n\n")
    simple = TokenTagger.from_pretrained(folders["tag"], aggregation_strategy="simple", ignore_labels=[])(texts)
    for block, text, entities in zip((first, second), texts, simple, strict=True):
        rows = [line.split(maxsplit=3) for line in block.splitlines()]
        assert rows == [
            [f"{e['score']:.4f}", e["entity_group"], f"{e['start']}-{e['end']}", text[e["start"] : e["end"]]]
            for e in entities
        ]
    _, out, _ = run("tag", "to be", "--aggregation", "none", "--ignore", "x,y", "--json")
    assert [entity["word"] for entity in json.loads(out)["entities"]] == ["to", "be"]


def test_answer_finds_answers_in_a_context_or_a_file(run, folders, tmp_path):
    questions, context = ["who?", "to be?"], "Or not\r\nto be:\tthat is the question."
    expected = QuestionAnswerer.from_pretrained(folders["answer"], top_k=2)(question=questions, context=context)
    (tmp_path / "book.txt").write_bytes(b"\xef\xbb\xbf" + context.encode())
    code, out, _ = run("answer", *questions, "--context-file", tmp_path / "book.txt", "--top-k", "2", "--json")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"question": q, "answers": a} for q, a in zip(questions, expected, strict=True)
    ]
    _, out, _ = run("answer", "who?", "--context", context)
    best = expected[0][0]
    assert out.split(maxsplit=2) == [
        f"{best['score']:.4f}", f"{best['start']}-{best['end']}", " ".join(best["answer"].split()) + "\n"
    ]  # fmt: skip
    _, out, _ = run("answer", "who?", "--context", context, "--no-answer", "--top-k", "500", "--json")
    assert "" in [answer["answer"] for answer in json.loads(out)["answers"]]
    _, out, _ = run("answer", "who?", "--context", LONG, "--max-answer-length", "2", "--top-k", "99", "--json")
    assert max(len(answer["answer"].split()) for answer in json.loads(out)["answers"]) == 2


def test_summarize_reads_each_argument_or_a_whole_file(run, tmp_path):
    text = "To be or not.\nThat is the\nquestion! To be a bee? The tea is not. A bot that is."
    summarize = Summarizer.from_pretrained("small-world", 2, 0.5)
    expected = summarize(text)
    (tmp_path / "text.txt").write_text(text + "\n", encoding="utf-8")
    code, out, err = run("summarize", "--input", tmp_path / "text.txt", "--sentences", "2", "--diversity", "0.5")
    assert code == 0
    assert "knows 500 words" in err
    assert out.splitlines() == [" ".join(one["sentence"].split()) for one in expected]
    _, out, _ = run("summarize", text, "To be.", "--sentences", "2", "--diversity", "0.5", "--json")
    first, second = (json.loads(line) for line in out.splitlines())
    assert first == {"summary": " ".join(one["sentence"] for one in expected), "sentences": expected}
    assert second["summary"] == "To be."


@pytest.mark.parametrize("command", HEADS)
def test_nothing_comes_of_nothing(command, run, tmp_path):
    (tmp_path / "empty.txt").touch()
    context = ["--context", "to be"] if command == "answer" else []
    assert run(command, "--input", tmp_path / "empty.txt", *context) == (0, "", "")


MISTAKES = {
    "no classifier": (["classify", "a", "--model", "tiny-random"], 1, "no head that classifies texts; train one: bert"),
    "no tagger": (["tag", "a", "--model", "tiny-random"], 1, "has no head that labels tokens; train one: bert-numpy f"),
    "no answerer": (
        ["answer", "a", "--context", "a", "--model", "tiny-random"],
        1,
        "no head that finds answers; train",
    ),
    "no model": (["tag", "a", "--model", "nowhere"], 3, "no model nowhere: there is no such folder"),
    "no tab": (["classify", "a\tb", "c", "--pairs", "--model", "tiny-random"], 1, "text 2 has 0 tabs; --pairs needs"),
    "no file": (["answer", "a", "--context-file", "no.txt", "--model", "tiny-random"], 3, "no file no.txt"),
    "a folder": (["answer", "a", "--context-file", ".", "--model", "tiny-random"], 2, "--context-file . is a folder"),
    "diversity": (["summarize", "a", "--diversity", "2"], 2, "--diversity 2.0 must lie between 0 and 1"),
    "nothing": (["summarize", " "], 1, "the text is empty; there is nothing to summarize"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_line_on_stderr(arguments, code, message, capsys):
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert err.startswith(f"bert-numpy {arguments[0]}: ")
    assert message in err
    assert len(err) < 300


def test_mistakes_about_the_texts_name_them(run, tmp_path):
    (tmp_path / "book.txt").write_bytes(b"to\nb\xefe")
    for arguments, message in (
        (["answer", "who?", "--context-file", tmp_path / "book.txt"], "book.txt:2: not UTF-8 (byte 0xef); convert"),
        (["answer", "who?", "what?", "--context", " "], "context 1 is empty"),
        (["answer", "who?", LONG, "--context", "a"], "question 2: the question takes 78 of the 37 tokens"),
        (["classify", "a", "--max-length", "38"], "max_length 38 must lie between 3 and max_position_embeddings 37"),
        (["classify", LONG, "--stride", "35"], "stride 35 must lie between 0 and 34"),
        (["tag", LONG, "--stride", "35"], "stride 35 must lie between 0 and 34"),
    ):
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert message in err


@pytest.mark.parametrize(
    "arguments",
    [["classify", "a"], ["tag", "a"], ["answer", "a", "--model", "m"], ["tag", "a", "--model", "m", "--stride", "-1"]],
)
def test_wrong_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: bert-numpy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("classify", "weighted by the tokens that are new"),
        ("tag", "farthest from an edge"),
        ("answer", "nothing is phrased"),
        ("summarize", "this is no abstract"),
        ("fill-mask", "the text is not continued"),
    ],
)
def test_help_says_what_the_model_can_and_cannot_do(command, words, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = capsys.readouterr().out
    assert words in " ".join(out.split())
    assert 0 < out.index("examples:") < out.index("options:")
