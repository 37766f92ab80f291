"""Record what the `tokenizers` library makes of difficult texts: python tests/golden/make_tokenizer_cases.py

Needs transformers; writes tokenizer_cases.json beside this file.  The vocabulary is made by rule and stored with the
cases, so that reading them needs nothing else.  Only characters that Unicode has had since version 6 or earlier are
used: the answers do not depend on the version of Python that reads them.
"""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = [
    "Hello, world! Don't stop-over: $5.00",
    "na\u00efve nai\u0308ve \u0130stanbul I\u0307 \u00df \u1e9e \u0149 \ufb01",
    "\u0391\u03a3 \u03a3\u03a3. \u1f08\u03b9",
    "a\u00adb\u200bc\ufeffd\ufffde\x00f\x0bg\u0085h\ue000i",
    "a\tb\nc\rd\u00a0e\u2028f\u2029g\u3000h",
    "ab\u4e2d\u6587c \u3400\uf900\U00020000\U0002f800 \u3042\u30a2 \ud55c\uad6d",
    "\u0301a\u0301\u0323 ,\u0301, \u0344x \u226e\u037e\u0387",
    "\u0915\u094d\u0937 \u0958 \u0e01\u0e33 \u05e9\u05c1 \u0644\u0651",
    "\U0001d15e\u302e a\U0001d16d\u302e\U0001d165b \U0001f600\ufe0f",
    "[CLS] a[MASK]b [mask] [MASK [[SEP]] [UNK][PAD]",
    "a" * 100 + " " + "b" * 101 + " " + "e\u0301" * 60 + " " + "e\u0301" * 101,
    "",
    " \n ",
]
CALLS = [
    {"truncation": truncation, "max_length": max_length, "padding": padding, "return_overflowing_tokens": overflow,
     "stride": stride, "add_special_tokens": special, "truncation_side": side}
    for truncation, max_length, padding, overflow, stride, special, side in [
        (True, 8, False, False, 0, True, "right"),
        (True, 9, "max_length", True, 1, True, "right"),
        (True, 9, "longest", True, 1, True, "left"),
        (True, 8, "max_length", True, 0, False, "left"),
        ("only_first", 13, "longest", True, 2, True, "right"),
        ("only_first", 12, False, True, 0, True, "left"),
        ("only_second", 12, "max_length", True, 1, True, "right"),
        (False, None, "longest", False, 0, True, "right"),
    ]
]  # fmt: skip
PAIRS = [["a b c d e f g", "x y z w v u t"], ["hello", "the world, the world"], ["c [MASK] d e f g", "\u4e2d\u6587"]]


def vocabulary() -> list[str]:
    ranges = [
        (33, 127),
        (0xDF, 0x100),
        (0x300, 0x310),
        (0x3B1, 0x3CA),
        (0x915, 0x94E),
        (0x1100, 0x1113),
        (0x1161, 0x1176),
    ]
    ranges += [(0x11A8, 0x11C3), (0x4E00, 0x4E2E), (0x3042, 0x3062)]
    characters = [chr(c) for start, stop in ranges for c in range(start, stop)] + ["\u6587", "\u8c48", "\U0001d165"]
    pieces = ["ab", "abc", "hello", "world", "the", "ing", "istan", "bul"]
    return list(dict.fromkeys([*SPECIAL, *characters, *("##" + c for c in characters + pieces), *pieces]))


def random_texts(n: int) -> list[str]:
    rng = random.Random(0)
    alphabet = sorted(set("".join(TEXTS))) + list("abcdehlo") * 4 + [" "] * 20
    return ["".join(rng.choices(alphabet, k=rng.randrange(1, 25))) for _ in range(n)]


def main() -> None:
    from transformers import BertTokenizer

    tokens = vocabulary()
    texts = TEXTS + random_texts(25)
    recorded: dict[str, Any] = {"vocabulary": tokens, "texts": texts, "pairs": PAIRS, "single": [], "calls": []}
    for lower, strip, chinese in itertools.product([True, False], [None, True, False], [True, False]):
        settings = {"do_lower_case": lower, "strip_accents": strip, "tokenize_chinese_chars": chinese}
        reference = BertTokenizer(vocab={token: i for i, token in enumerate(tokens)}, **settings)
        encodings = [reference._tokenizer.encode(text, add_special_tokens=False) for text in texts]
        answers = [[e.ids, list(itertools.chain.from_iterable(e.offsets)), e.word_ids] for e in encodings]
        recorded["single"].append([settings, answers])
    for call in CALLS:
        arguments = dict(call)
        reference.truncation_side = arguments.pop("truncation_side")
        batch = reference([a for a, _ in PAIRS], [b for _, b in PAIRS], return_special_tokens_mask=True, **arguments)
        recorded["calls"].append([call, dict(batch)])
    path = Path(__file__).with_name("tokenizer_cases.json")
    path.write_text(json.dumps(recorded, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
