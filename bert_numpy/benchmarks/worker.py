"""This package's worker, run as a process: `python -m bert_numpy.benchmarks.worker`.

    (no arguments)                                answer requests, see `serving.py`
    first-answer CHECKPOINT INPUTS OUTPUT         load, answer once, end: the case "start"
    make-checkpoint SIZE-OR-FOLDER CHECKPOINT     write the weights that both sides load

Here: every case, as a user of this package would write it.  Not here: when it is run (`running.py`).
Read next: `reference_worker.py`, the same cases in transformers and torch.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .cases import LEARNING_RATE, MAX_GRAD_NORM, is_compared
from .serving import Prepared, first_answer, norm_of, read_arrays, serve, text_lines


def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    if not arguments:
        serve(prepare, versions())
    elif arguments[0] == "first-answer":
        first_answer(lambda: load_and_answer(*arguments[1:3]), arguments[3])
    elif arguments[0] == "make-checkpoint":
        make_checkpoint(*arguments[1:])
    else:
        raise ValueError(f"a worker cannot {arguments[0]!r}")


def prepare(case: dict[str, Any]) -> Prepared:
    """A case that is ready to run."""
    return _KINDS[case["kind"]](case)


def make_checkpoint(source: str, folder: str) -> None:
    """Write the float32 weights of a classifier of two labels: of a folder, or random ones of a published size."""
    from ..configuration import PRESETS, BertConfig
    from ..models import BertForSequenceClassification

    if source in PRESETS:
        model = BertForSequenceClassification(BertConfig.preset(source), rng=0)
    else:
        model = BertForSequenceClassification.from_pretrained(
            source, rng=0, num_labels=2, problem_type=None, ignore_mismatched_sizes=True
        )
    model.save_pretrained(folder)


def load_and_answer(checkpoint: str, inputs: str) -> Mapping[str, np.ndarray]:
    """What the cases "load" and "start" measure."""
    from ..models import BertModel

    model = BertModel.from_pretrained(checkpoint)
    return _outputs(model, read_arrays(inputs))


def _outputs(model: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is compared: the hidden states of tokens (padding has none that mean anything), and the pooled ones."""
    outputs = model(inputs["input_ids"], inputs["attention_mask"])
    tokens = inputs["attention_mask"] == 1
    return {"last_hidden_state": outputs.last_hidden_state[tokens], "pooler_output": outputs.pooler_output}


def _forward(case: dict[str, Any]) -> Prepared:
    from ..models import BertModel

    model = BertModel.from_pretrained(case["checkpoint"]).skip_padding()
    inputs = read_arrays(case["inputs"])
    input_ids, attention_mask = inputs["input_ids"], inputs["attention_mask"]
    runs = {"numpy": lambda: model(input_ids, attention_mask), "floor": _floor(model, attention_mask)}
    return Prepared(runs, lambda: _outputs(model, inputs))


def _floor(model: Any, attention_mask: np.ndarray, backward: bool = False) -> Callable[[], None]:
    """The bare products, whose arrays are made at the first run: a case without them should not hold them."""
    from .floor import bare_products

    @functools.cache
    def products() -> Callable[[], None]:
        return bare_products(model, attention_mask.sum(axis=1).tolist(), backward)

    return lambda: products()()


def _load(case: dict[str, Any]) -> Prepared:
    def run() -> Mapping[str, np.ndarray]:
        return load_and_answer(case["checkpoint"], case["inputs"])

    return Prepared({"numpy": run}, run)


def _classifier(case: dict[str, Any]) -> tuple[Any, Callable[[], Any]]:
    """A classifier, and a function that runs it forward and backward and returns its outputs."""
    from ..models import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(case["checkpoint"], rng=0)
    inputs = read_arrays(case["inputs"])

    def forward_backward() -> Any:
        outputs, cache = model.forward(inputs["input_ids"], inputs["attention_mask"], labels=inputs["labels"])
        model.backward(1.0, cache)
        return outputs

    return model, forward_backward


def _backward(case: dict[str, Any]) -> Prepared:
    model, forward_backward = _classifier(case)
    attention_mask = read_arrays(case["inputs"])["attention_mask"]

    def run() -> None:
        model.zero_grad()
        forward_backward()

    def check() -> dict[str, np.ndarray]:
        model.eval()
        model.zero_grad()
        outputs = forward_backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if is_compared(name)}
        model.train()
        return {"loss": np.array(outputs.loss), "logits": outputs.logits, **gradients}

    model.train()
    return Prepared({"numpy": run, "floor": _floor(model, attention_mask, backward=True)}, check)


def _train(case: dict[str, Any]) -> Prepared:
    from ..training import AdamW, clip_grad_norm_

    model, forward_backward = _classifier(case)
    parameters = list(model.parameters())
    optimizer = AdamW(parameters, lr=LEARNING_RATE)

    def update() -> None:
        clip_grad_norm_(parameters, MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad()

    def step() -> None:
        forward_backward()
        update()

    def check() -> dict[str, np.ndarray]:
        model.eval()
        before = forward_backward().loss
        norm = norm_of(p.grad for p in parameters if p.grad is not None)
        update()
        after = forward_backward().loss
        optimizer.zero_grad()
        model.train()
        return {"loss": np.array(before), "gradient norm": norm, "loss after a step": np.array(after)}

    model.train()
    return Prepared({"numpy": step}, check)


def _tokenize(case: dict[str, Any]) -> Prepared:
    from ..tokenization import BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(case["tokenizer"])

    def renew() -> None:
        nonlocal tokenizer
        tokenizer = BertTokenizer.from_pretrained(case["tokenizer"])

    text = Path(case["text"]).read_text(encoding="utf-8")
    lines = text_lines(text)
    runs: dict[str, Callable[[], list[list[int]]]] = {
        "text": lambda: [tokenizer(text)["input_ids"]],
        "lines": lambda: [tokenizer(line)["input_ids"] for line in lines],
        "batch": lambda: tokenizer(lines)["input_ids"],
    }
    run = runs[case["kind"]]
    return Prepared({"numpy": run}, lambda: {"ids": np.array([i for row in run() for i in row])}, before=renew)


_KINDS: dict[str, Callable[[dict[str, Any]], Prepared]] = {
    "forward": _forward,
    "backward": _backward,
    "train": _train,
    "load": _load,
    "text": _tokenize,
    "lines": _tokenize,
    "batch": _tokenize,
}


def versions() -> dict[str, str]:
    """What this side is run by: Python, NumPy and the library that multiplies for it."""
    import platform

    about = {"python": platform.python_version(), "numpy": np.__version__}
    try:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        about["blas"] = f"{blas['name']} {blas['version']}"
    except (TypeError, KeyError):  # NumPy 1.24 can only print it
        pass
    return about


if __name__ == "__main__":
    main(sys.argv[1:])
