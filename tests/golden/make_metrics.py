"""Record what other programs make of small cases: python tests/golden/make_metrics.py

Needs scikit-learn, SciPy, seqeval 1.2.2 and transformers 4.46.3 (release 5 no longer carries `squad_metrics`).
Writes metrics.json beside this file, the cases with the results, so that the tests need none of them.  What is an error
or NaN there is recorded as null.
"""

from __future__ import annotations

import json
import math
import random
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import scipy.stats
import seqeval.metrics
import sklearn.metrics
from seqeval.scheme import IOB2, IOBES, IOE2
from transformers.data.metrics import squad_metrics

WORDS = ["the", "The", "a", "an", "Thames,", "river", "River", "it's", "1,000", "“the”", "Éa", "the-end", ".", "a.m."]
AVERAGES = (None, "binary", "micro", "macro", "weighted")
SCHEMES = {"IOB2": IOB2, "IOE2": IOE2, "IOBES": IOBES}


def plain(value: Any) -> Any:
    """Arrays and tuples as lists, NaN as null."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def attempt(function: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return plain(function(*args, **kwargs))
    except ValueError:
        return None


def classification(rng: random.Random) -> dict[str, Any]:
    classes = rng.choice([[0, 1], [0, 1, 2], [0, 1, 2, 5], ["ham", "spam"], ["a", "b", "c"]])
    true = rng.choices(classes, k=rng.randint(1, 12))
    pred = [label if rng.random() < 0.5 else rng.choice(classes) for label in true]
    labels = rng.sample(classes, rng.randint(1, len(classes))) if rng.random() < 0.4 else None
    pos_label = rng.choice(classes)
    case: dict[str, Any] = {"y_true": true, "y_pred": pred, "labels": labels, "pos_label": pos_label}
    case["accuracy"] = sklearn.metrics.accuracy_score(true, pred)
    case["matthews"] = float(sklearn.metrics.matthews_corrcoef(true, pred))
    case["confusion"] = attempt(sklearn.metrics.confusion_matrix, true, pred, labels=labels)
    for average in AVERAGES:
        kwargs = {"pos_label": pos_label, "average": average, "zero_division": 0}
        kwargs["labels"] = None if average == "binary" else labels
        case[str(average)] = attempt(sklearn.metrics.precision_recall_fscore_support, true, pred, **kwargs)
    return case


def correlation(rng: random.Random) -> dict[str, Any]:
    n = rng.randint(2, 10)
    if rng.random() < 0.5:
        x, y = ([float(rng.randint(0, 3)) for _ in range(n)] for _ in range(2))
    else:
        x = [round(rng.gauss(100, 1), 3) for _ in range(n)]
        y = [round(value + rng.gauss(0, 1), 3) for value in x]
    return {
        "x": x,
        "y": y,
        "pearson": plain(float(scipy.stats.pearsonr(x, y)[0])),
        "spearman": plain(float(scipy.stats.spearmanr(x, y)[0])),
    }


def tagging(rng: random.Random, scheme: str | None) -> dict[str, Any]:
    letters = {"IOB2": "BI", "IOE2": "IE"}.get(scheme or "", "BIES")
    tags = ["O", *(f"{letter}-{kind}" for letter in letters for kind in ("PER", "LOC"))]
    if scheme is None:
        tags += ["B", "I", "B-PER-X", "I-PER-X"]
    true = [rng.choices(tags, k=rng.randint(1, 7)) for _ in range(rng.randint(1, 3))]
    pred = [[tag if rng.random() < 0.6 else rng.choice(tags) for tag in sentence] for sentence in true]
    how = {} if scheme is None else {"mode": "strict", "scheme": SCHEMES[scheme]}
    case: dict[str, Any] = {"y_true": true, "y_pred": pred, "scheme": scheme}
    for average in (None, "micro", "macro", "weighted"):
        functions = (seqeval.metrics.precision_score, seqeval.metrics.recall_score, seqeval.metrics.f1_score)
        case[str(average)] = [plain(f(true, pred, average=average, zero_division=0, **how)) for f in functions]
    report = seqeval.metrics.classification_report(true, pred, output_dict=True, zero_division=0, **how)
    case["support"] = {name: int(row["support"]) for name, row in report.items()}
    return case


def questions(rng: random.Random) -> dict[str, Any]:
    def text() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(0, 4)))

    ids = [f"q{i}" for i in range(rng.randint(1, 5))]
    golds = {i: [text() for _ in range(rng.randint(0, 3))] for i in ids}
    predictions = {i: rng.choice([*golds[i], text(), ""]) for i in ids}
    probs = {i: rng.choice([0.25, 0.5, round(rng.random(), 2)]) for i in ids} if rng.random() < 0.6 else None
    threshold = rng.choice([1.0, 0.5])
    examples = [SimpleNamespace(qas_id=i, answers=[{"text": gold} for gold in golds[i]]) for i in ids]
    scores = dict(squad_metrics.squad_evaluate(examples, predictions, probs, threshold))
    if probs is None:
        scores = {name: value for name, value in scores.items() if not name.startswith("best")}
    return {"golds": golds, "predictions": predictions, "probs": probs, "threshold": threshold, "scores": scores}


def main() -> None:
    warnings.simplefilter("ignore")
    rng = random.Random(2026)
    golden = {
        "classification": [classification(rng) for _ in range(40)],
        "correlation": [correlation(rng) for _ in range(30)],
        "tagging": [tagging(rng, scheme) for scheme in (None, None, *SCHEMES) for _ in range(10)],
        "normalize": {
            text: squad_metrics.normalize_answer(text) for text in (*WORDS, "An  Apple a\tDay!", "Tha theme")
        },
        "questions": [questions(rng) for _ in range(25)],
    }
    lines = []
    for name, cases in golden.items():
        if isinstance(cases, dict):
            lines.append(f"{json.dumps(name)}: {json.dumps(cases, ensure_ascii=False)}")
        else:
            rows = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
            lines.append(f"{json.dumps(name)}: [\n{rows}\n]")
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    Path(__file__).with_name("metrics.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
