"""Make `weights/tiny-random/`: a small random BERT, and what the reference library computes with it.

    python tests/golden/make_tiny_random.py          (in an environment with the extra `reference`)

The folder holds a checkpoint as transformers writes it, and `reference.safetensors`, in float64:

    inputs/NAME                       one padded batch of three texts, two of them pairs
    CASE/parameters/NAME              parameters that the checkpoint lacks (classifiers)
    CASE/inputs/NAME                  labels; for MultipleChoice also the batch, folded to three choices
    CASE/outputs/NAME                 loss, logits …; of BertModel also every hidden state and attention
    CASE/doutputs/NAME                BertModel only: the gradients of its outputs that were given
    CASE/gradients/NAME               gradient of every parameter

All sizes are different, gains and biases are random, padding and both segments occur: a fresh model would hide an
ε in the wrong place, a gain that is not applied, or a mask that is dropped.
"""

import json
import string
import sys
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
import tokenizers
import torch
import transformers
from transformers import BertConfig, BertTokenizerFast

FOLDER = Path(__file__).resolve().parents[2] / "weights" / "tiny-random"
SEED = 20181011  # the day the paper appeared
TEXTS = [["to be or not", "a bee"], ["Be, or b?", None], ["not be", "or not to be"]]
NUM_LABELS = 6
SIZES = {
    "hidden_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 27,
    "max_position_embeddings": 37,
    "type_vocab_size": 3,
}

# case -> the class and its problem type
CASES = {
    "BertModel": ("BertModel", None),
    "BertForPreTraining": ("BertForPreTraining", None),
    "BertForMaskedLM": ("BertForMaskedLM", None),
    "BertForNextSentencePrediction": ("BertForNextSentencePrediction", None),
    "BertForSequenceClassification": ("BertForSequenceClassification", "single_label_classification"),
    "BertForSequenceClassification-many": ("BertForSequenceClassification", "multi_label_classification"),
    "BertForSequenceClassification-regression": ("BertForSequenceClassification", "regression"),
    "BertForTokenClassification": ("BertForTokenClassification", None),
    "BertForQuestionAnswering": ("BertForQuestionAnswering", None),
    "BertForMultipleChoice": ("BertForMultipleChoice", None),
}


def vocabulary():
    """Special tokens, punctuation, letters at the start of a word and inside, a few words and pieces."""
    words = ["to", "be", "or", "not", "##ee", "##ot", "the", "question", "that", "is"]
    letters = string.ascii_lowercase
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,?!", *letters, *(f"##{c}" for c in letters), *words]


def randomize(model, generator):
    """Every parameter random: gains around 1, everything else around 0, large enough for uneven attention."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3
            if name.endswith("LayerNorm.weight"):
                values += 1
            parameter.copy_(values.float().double())  # what a float32 file can hold


def labels_of(case, input_ids, attention_mask, rng):
    B, S = input_ids.shape
    real = attention_mask.astype(bool)
    masked_lm = np.where(rng.random((B, S)) < 0.4, rng.integers(5, len(vocabulary()), (B, S)), -100)
    tags = np.where(real, rng.integers(0, NUM_LABELS, (B, S)), -100)
    return {
        "BertModel": {},
        "BertForPreTraining": {"labels": masked_lm, "next_sentence_label": np.array([0, 1, 0])},
        "BertForMaskedLM": {"labels": masked_lm},
        "BertForNextSentencePrediction": {"labels": np.array([1, 0, 1])},
        "BertForSequenceClassification": {"labels": np.array([4, 0, 2])},
        "BertForSequenceClassification-many": {"labels": rng.integers(0, 2, (B, NUM_LABELS)).astype(float)},
        "BertForSequenceClassification-regression": {"labels": rng.normal(size=(B, NUM_LABELS))},
        "BertForTokenClassification": {"labels": tags},
        "BertForQuestionAnswering": {"start_positions": np.array([1, 3, S + 40]), "end_positions": np.array([2, 3, 4])},
        "BertForMultipleChoice": {"labels": np.array([2])},
    }[case]


def run(model, inputs, with_doutputs, generator):
    """Outputs and gradients of one model, and the gradients given to the outputs where there is no loss."""
    wanted = {"output_hidden_states": True, "output_attentions": True} if with_doutputs else {}
    outputs = model(**{name: torch.from_numpy(array) for name, array in inputs.items()}, **wanted)
    flat = {}
    for name, value in outputs.items():
        parts = value if isinstance(value, tuple) else (value,)
        flat |= {f"{name}.{i}" if isinstance(value, tuple) else name: part for i, part in enumerate(parts)}
    doutputs = {}
    if with_doutputs:
        doutputs = {n: torch.randn(v.shape, generator=generator, dtype=torch.float64) for n, v in flat.items()}
        sum((flat[name] * gradient).sum() for name, gradient in doutputs.items()).backward()
    else:
        outputs.loss.backward()
    gradients = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()}
    return flat, doutputs, gradients


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "vocab.txt").write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab=str(FOLDER / "vocab.txt"), model_max_length=SIZES["max_position_embeddings"])
    tokenizer.save_pretrained(FOLDER)
    batch = tokenizer([a for a, _ in TEXTS], [b or "" for _, b in TEXTS], padding=True, return_tensors="np")
    single = tokenizer(TEXTS[1][0], padding="max_length", max_length=batch["input_ids"].shape[1])
    for name in batch:  # the second text is a single one
        batch[name][1] = single[name]
    shared = {name: np.asarray(values).astype(np.int64) for name, values in batch.items()}

    rng, generator = np.random.default_rng(SEED), torch.Generator().manual_seed(SEED)
    config = BertConfig(vocab_size=len(vocabulary()), num_labels=NUM_LABELS, **SIZES)
    config._attn_implementation = "eager"
    pretraining = transformers.BertForPreTraining(config)
    randomize(pretraining, generator)
    pretraining.save_pretrained(FOLDER)

    tensors = {f"inputs/{name}": values for name, values in shared.items()}
    for case, (class_name, problem_type) in CASES.items():
        config.problem_type = problem_type
        config.num_labels = 2 if class_name == "BertForQuestionAnswering" else NUM_LABELS
        model = getattr(transformers, class_name)(config)
        randomize(model, generator)
        source = dict(pretraining.named_parameters())
        if case == "BertModel":
            source = {name.removeprefix("bert."): parameter for name, parameter in source.items()}
        own = model.state_dict()
        model.load_state_dict({name: source.get(name, own[name]) for name in own})
        model = model.double().eval()
        inputs = dict(shared)
        if class_name == "BertForMultipleChoice":
            inputs = {name: values[np.newaxis] for name, values in shared.items()}
        labels = labels_of(case, shared["input_ids"], shared["attention_mask"], rng)
        outputs, doutputs, gradients = run(model, {**inputs, **labels}, case == "BertModel", generator)
        groups = {
            "parameters": {n: p for n, p in model.named_parameters() if n not in source},
            "inputs": {**(inputs if class_name == "BertForMultipleChoice" else {}), **labels},
            "outputs": outputs,
            "doutputs": doutputs,
            "gradients": gradients,
        }
        for group, values in groups.items():
            for name, value in values.items():
                array = value.detach().numpy() if isinstance(value, torch.Tensor) else value
                tensors[f"{case}/{group}/{name}"] = np.asarray(array, order="C")
        print(f"{case}: {len(gradients)} gradients", file=sys.stderr)

    metadata = {
        "format": "pt",
        "texts": json.dumps(TEXTS),
        "cases": json.dumps(CASES),
        "made_by": "tests/golden/make_tiny_random.py",
        "seed": str(SEED),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "numpy": np.__version__,
    }
    safetensors.numpy.save_file(tensors, FOLDER / "reference.safetensors", metadata)
    for path in FOLDER.iterdir():
        path.chmod(0o644)


if __name__ == "__main__":
    main()
