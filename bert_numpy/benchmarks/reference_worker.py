"""The reference's worker, run as a process of its own: `python …/reference_worker.py`.

transformers, torch and tokenizers are oracles here: nothing in this package imports them, and nothing imports this
file.  It is started by path, so that the two libraries never share a process, its threads or its memory.  Of this
package it uses the loop and the clock alone, which both sides share (`serving.py`, `cases.py`).

    (no arguments)                                answer requests, see `serving.py`
    first-answer CHECKPOINT INPUTS OUTPUT         load, answer once, end: the case "start"

Every way of running a case is a variant, and the fastest counts: attention "eager" and "sdpa"; AdamW as it is, with
`foreach=True` and with `fused=True`; tokenizing with and without offsets.

Here: every case, as a user of transformers would write it.  Not here: when it is run (`running.py`).
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bert_numpy.benchmarks.cases import LEARNING_RATE, MAX_GRAD_NORM, is_compared
from bert_numpy.benchmarks.serving import Prepared, first_answer, norm_of, read_arrays, serve, text_lines

ATTENTIONS = ("sdpa", "eager")
OPTIMIZERS: dict[str, dict[str, bool | None]] = {
    "plain": {"foreach": None, "fused": None},
    "foreach": {"foreach": True, "fused": None},
    "fused": {"foreach": None, "fused": True},
}


def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    if not arguments:
        about = versions()
        serve(lambda case: _KINDS[case["kind"]](case), about)
    elif arguments[0] == "first-answer":
        first_answer(lambda: load_and_answer(*arguments[1:3]), arguments[3])
    else:
        raise ValueError(f"a worker cannot {arguments[0]!r}")


def versions() -> dict[str, str]:
    """What this side consists of; torch takes its number of threads from the environment, as NumPy does."""
    import tokenizers
    import torch
    import transformers

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "tokenizers": tokenizers.__version__,
        "torch threads": str(torch.get_num_threads()),
    }


def load_and_answer(checkpoint: str, inputs: str) -> Mapping[str, np.ndarray]:
    """What the cases "load" and "start" measure, with the attention that transformers chooses."""
    import torch
    from transformers import BertModel

    model = BertModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    return _outputs(model, _tensors(inputs))


def _tensors(path: str) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(array) for name, array in read_arrays(path).items()}


def _outputs(model: Any, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    import torch

    with torch.inference_mode():
        outputs = model(inputs["input_ids"], inputs["attention_mask"])
    tokens = inputs["attention_mask"] == 1
    return {
        "last_hidden_state": outputs.last_hidden_state[tokens].numpy(),
        "pooler_output": outputs.pooler_output.numpy(),
    }


def _forward(case: dict[str, Any]) -> Prepared:
    import torch
    from transformers import BertModel

    model = BertModel.from_pretrained(case["checkpoint"], dtype=torch.float32).eval()
    inputs = _tensors(case["inputs"])

    def run() -> None:
        with torch.inference_mode():
            model(inputs["input_ids"], inputs["attention_mask"])

    runs = {name: _with_attention(model, name, run) for name in ATTENTIONS}
    return Prepared(runs, lambda: _outputs(model, inputs))


def _with_attention(model: Any, name: str, run: Callable[[], object]) -> Callable[[], None]:
    def with_attention() -> None:
        if model.config._attn_implementation != name:
            model.set_attn_implementation(name)
        run()

    return with_attention


def _load(case: dict[str, Any]) -> Prepared:
    def run() -> Mapping[str, np.ndarray]:
        return load_and_answer(case["checkpoint"], case["inputs"])

    return Prepared({"sdpa": run}, run)


def _classifier(case: dict[str, Any]) -> tuple[Any, Callable[[], Any]]:
    """A classifier, and a function that runs it forward and backward and returns its outputs."""
    import torch
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(case["checkpoint"], dtype=torch.float32)
    inputs = _tensors(case["inputs"])

    def forward_backward() -> Any:
        outputs = model(inputs["input_ids"], inputs["attention_mask"], labels=inputs["labels"])
        outputs.loss.backward()
        return outputs

    return model, forward_backward


def _backward(case: dict[str, Any]) -> Prepared:
    model, forward_backward = _classifier(case)

    def run() -> None:
        model.zero_grad()
        forward_backward()

    def check() -> dict[str, np.ndarray]:
        model.eval()
        model.zero_grad()
        outputs = forward_backward()
        gradients = {name: p.grad.numpy() for name, p in model.named_parameters() if is_compared(name)}
        model.train()
        return {"loss": outputs.loss.detach().numpy(), "logits": outputs.logits.detach().numpy(), **gradients}

    model.train()
    return Prepared({name: _with_attention(model, name, run) for name in ATTENTIONS}, check)


def _train(case: dict[str, Any]) -> Prepared:
    import torch

    model, forward_backward = _classifier(case)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE)

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad()

    def step_with(flags: Mapping[str, bool | None]) -> None:
        for group in optimizer.param_groups:
            group.update(flags)
        forward_backward()
        update()

    def check() -> dict[str, np.ndarray]:
        model.eval()
        before = forward_backward().loss.detach().numpy()
        norm = norm_of(p.grad.numpy() for p in parameters if p.grad is not None)
        update()
        after = forward_backward().loss.detach().numpy()
        optimizer.zero_grad()
        model.train()
        return {"loss": before, "gradient norm": norm, "loss after a step": after}

    model.train()
    runs = {
        f"{attention}, {name}": _with_attention(model, attention, functools.partial(step_with, flags))
        for attention, (name, flags) in itertools.product(ATTENTIONS, OPTIMIZERS.items())
    }
    return Prepared(runs, check)


def _tokenize(case: dict[str, Any]) -> Prepared:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(case["tokenizer"]) / "tokenizer.json"))
    text = Path(case["text"]).read_text(encoding="utf-8")
    lines = text_lines(text)
    runs: dict[str, Callable[[], list[list[int]]]] = {
        "text": lambda: [tokenizer.encode(text).ids],
        "lines": lambda: [tokenizer.encode(line).ids for line in lines],
        "batch": lambda: [encoding.ids for encoding in tokenizer.encode_batch(lines)],
        "batch, no offsets": lambda: [encoding.ids for encoding in tokenizer.encode_batch_fast(lines)],
    }
    run = runs[case["kind"]]
    variants = {"tokenizers": run}
    if case["kind"] == "batch":
        variants["tokenizers, no offsets"] = runs["batch, no offsets"]
    return Prepared(variants, lambda: {"ids": np.array([i for row in run() for i in row])})


_KINDS: dict[str, Callable[[dict[str, Any]], Prepared]] = {
    "forward": _forward,
    "backward": _backward,
    "train": _train,
    "load": _load,
    "text": _tokenize,
    "lines": _tokenize,
    "batch": _tokenize,
}


if __name__ == "__main__":
    main(sys.argv[1:])
