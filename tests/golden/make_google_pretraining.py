"""Record what Google's program makes of a small text: python tests/golden/make_google_pretraining.py FOLDER

FOLDER is the unpacked wheel of the package that carries the program:

    pip download --no-deps bert-tensorflow==1.0.4 && unzip bert_tensorflow-1.0.4-py2.py3-none-any.whl -d FOLDER

TensorFlow is not needed: the program uses it for flags and files only, and these are stood in for.  Writes
google_pretraining.json beside this file, with the text and the vocabulary, so that reading it needs nothing else.
This release of the program does not know whole-word masking.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

TEXT = """\
The rain began before noon.
Nobody in the harbour had expected it, and the nets were still out.
By evening the boats came home one after another.

Mira counts the lamps along the quay.
Seven are lit.
The eighth has been broken since winter, and nobody has mended it.
She writes the number down.
Tomorrow she will count again!

A short note.


An unusually long sentence without any end in sight goes on and on, past the mill, past the bridge, past the old \
lighthouse, until whoever reads it has forgotten how it began, which is exactly what its writer wanted.
Then it stops.
Caf\u00e9 owners remember it: \u4e2d\u6587, too.
"""
SETTINGS = [  # seed, max_seq_length, dupe_factor, short_seq_prob, masked_lm_prob, max_predictions_per_seq
    (12345, 32, 3, 0.1, 0.15, 20),
    (0, 12, 2, 0.5, 0.15, 20),
    (7, 64, 4, 0.3, 0.4, 6),
]


def vocabulary() -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [
        "the",
        "and",
        "it",
        "has",
        "nobody",
        "past",
        "rain",
        "count",
        "long",
        "be",
        "##ed",
        "##es",
        "##ing",
        "##er",
    ]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return [*special, *".,!", *letters, *("##" + letter for letter in letters), *words, "\u4e2d"]


def import_program(folder: str) -> tuple[Any, Any]:
    flags = types.SimpleNamespace(
        FLAGS=types.SimpleNamespace(preserve_unused_tokens=False),
        DEFINE_string=lambda *a: None,
        DEFINE_bool=lambda *a: None,
        DEFINE_integer=lambda *a: None,
        DEFINE_float=lambda *a: None,
    )

    def open_file(path: str, mode: str) -> Any:
        return open(path, mode, encoding="utf-8", newline="\n")

    tensorflow: Any = types.ModuleType("tensorflow")
    tensorflow.compat = types.ModuleType("tensorflow.compat")
    tensorflow.compat.v1 = types.ModuleType("tensorflow.compat.v1")
    tensorflow.compat.v1.flags = flags
    tensorflow.compat.v1.gfile = types.SimpleNamespace(GFile=open_file)
    absl: Any = types.ModuleType("absl")
    absl.flags = flags
    six: Any = types.ModuleType("six")
    six.PY3, six.PY2 = True, False
    sys.modules.update(
        {
            "tensorflow": tensorflow,
            "tensorflow.compat": tensorflow.compat,
            "tensorflow.compat.v1": tensorflow.compat.v1,
            "absl": absl,
            "six": six,
        }
    )
    sys.path.insert(0, folder)
    from bert import create_pretraining_data, tokenization

    return create_pretraining_data, tokenization


def main() -> None:
    program, tokenization = import_program(sys.argv[1])
    tokens = vocabulary()
    ids = {token: token_id for token_id, token in enumerate(tokens)}
    recorded: dict[str, Any] = {"vocabulary": tokens, "text": TEXT, "runs": []}
    with tempfile.TemporaryDirectory() as folder:
        text_file, vocab_file = Path(folder, "text.txt"), Path(folder, "vocab.txt")
        text_file.write_text(TEXT, encoding="utf-8")
        vocab_file.write_text("".join(token + "\n" for token in tokens), encoding="utf-8")
        tokenizer = tokenization.FullTokenizer(str(vocab_file), do_lower_case=True)
        for seed, *settings in SETTINGS:
            length, dupe_factor, short, probability, most = settings
            instances = program.create_training_instances(
                [str(text_file)], tokenizer, length, dupe_factor, short, probability, most, random.Random(seed)
            )
            answers = [
                [
                    [ids[token] for token in instance.tokens],
                    instance.segment_ids.index(1),
                    instance.masked_lm_positions,
                    [ids[token] for token in instance.masked_lm_labels],
                    int(instance.is_random_next),
                ]
                for instance in instances
            ]
            recorded["runs"].append([[seed, *settings], answers])
    path = Path(__file__).with_name("google_pretraining.json")
    path.write_text(json.dumps(recorded, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
