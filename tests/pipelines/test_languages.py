"""Language identification from nothing, by the three commands that `TextClassifier` names: no model, no vocabulary.

Of four languages there are 42 lines each to learn from, and eight others each to be told apart.  The lines say the same
in every language, so that their content gives nothing away.
"""

import json
from pathlib import Path

import pytest

from bert_numpy.cli import main
from bert_numpy.pipelines import TextClassifier

pytestmark = pytest.mark.slow  # some ten seconds

LINES = Path(__file__).with_name("languages.tsv")
HELD_OUT = Path(__file__).with_name("languages_held_out.tsv")


def rows_of(path):
    return [line.split("\t") for line in path.read_text("utf-8").splitlines()[1:]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What `pretrain` and `finetune classify` make of the lines; a document for `pretrain` is two of them."""
    folder = tmp_path_factory.mktemp("languages")
    texts = [text for text, _ in rows_of(LINES)]
    documents = ["\n".join(texts[i : i + 2]) for i in range(0, len(texts), 2)]
    (folder / "lines.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    start, trained = str(folder / "start"), str(folder / "trained")
    sizes = ("--vocab-size", "300", "--hidden-size", "64", "--layers", "1", "--heads", "2", "--steps", "100")
    how = ("--epochs", "60", "--learning-rate", "1e-3", "--batch-size", "16")
    with pytest.MonkeyPatch.context() as patch:  # drawing takes longer than training here
        patch.setattr("bert_numpy.tasks.folders._draw", lambda *_: None)
        patch.setattr("bert_numpy.tasks.pretraining.draw_curves", lambda *_: None)
        assert (
            main(["pretrain", "--text", str(folder / "lines.txt"), "--output", start, *sizes, "--held-out", "0"]) == 0
        )
        assert main(["finetune", "classify", "--model", start, "--train", str(LINES), "--output", trained, *how]) == 0
    return trained


def test_lines_that_it_has_never_seen_are_told_apart(folder, capsys):
    assert main(["evaluate", folder, str(HELD_OUT), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["examples"] == 32
    assert figures["accuracy"] >= 0.85  # six seeds had 0.91 to 0.97; chance is 0.25


def test_no_line_to_be_told_apart_was_learnt():
    learnt, asked = ({text for text, _ in rows_of(path)} for path in (LINES, HELD_OUT))
    assert len(learnt) == 168
    assert not learnt & asked


def test_neither_the_first_word_nor_the_last_gives_a_language_away(folder):
    classify = TextClassifier.from_pretrained(folder)
    rows = [(" ".join(text.split()[1:-1]), label) for text, label in rows_of(HELD_OUT)]
    answers = classify([text for text, _ in rows])
    right = [answer["label"] == label for answer, (_, label) in zip(answers, rows, strict=True)]
    assert sum(right) >= 0.8 * len(rows)
