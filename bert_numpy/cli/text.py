"""Commands on texts that need no trained head of their own: tokenize, fill-mask, embed.

Read next: `answers.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .usage import UsageError, add_command, add_model, add_texts, model_folder, note_default_model, positive, texts_of


def add_tokenize(commands: Any) -> None:
    parser = add_command(
        commands,
        "tokenize",
        "text to word pieces and ids",
        "Print the word pieces of each text and their ids.",
        'bert-numpy tokenize "Hello, world!" --model my-bert',
    )
    add_texts(parser, "a text")
    add_model(parser)
    parser.add_argument("--vocab", metavar="FILE", help="a vocab.txt, in place of a model's tokenizer")
    parser.add_argument("--cased", action="store_true", help="with --vocab: keep upper case and accents")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: text, tokens, ids, offsets")
    parser.set_defaults(run=run_tokenize)


def run_tokenize(options: argparse.Namespace) -> int:
    from ..tokenization import BertTokenizer

    if options.cased and not options.vocab:
        raise UsageError("--cased goes with --vocab; a model's tokenizer knows its own case")
    if options.model and options.vocab:
        raise UsageError("give --model or --vocab, not both")
    if options.vocab:
        tokenizer = BertTokenizer(options.vocab, do_lower_case=not options.cased)
    else:
        tokenizer = BertTokenizer.from_pretrained(model_folder(options))
    for text in texts_of(options):
        encoding = tokenizer(text, return_offsets_mapping=True)
        ids = list(encoding["input_ids"])
        tokens = tokenizer.convert_ids_to_tokens(ids)
        if options.json:
            offsets = [list(pair) for pair in encoding["offset_mapping"]]
            print(json.dumps({"text": text, "tokens": tokens, "ids": ids, "offsets": offsets}, ensure_ascii=False))
        else:
            print(*tokens)
            print(*ids)
    return 0


def add_fill_mask(commands: Any) -> None:
    parser = add_command(
        commands,
        "fill-mask",
        "guess the words that [MASK] stands for",
        "Print the likeliest words for each [MASK] of each text, with their probabilities. Each [MASK] is one word or "
        "piece of a word, guessed from both sides; the text is not continued.",
        'bert-numpy fill-mask "Paris is the [MASK] of France." --model my-bert --top-k 3',
    )
    add_texts(parser, "a text with [MASK] in it")
    add_model(parser)
    parser.add_argument("--top-k", type=positive, default=5, metavar="N", help="how many words (default: 5)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: text, answers")
    parser.set_defaults(run=run_fill_mask)


def run_fill_mask(options: argparse.Namespace) -> int:
    from ..pipelines import FillMask

    texts = texts_of(options)
    fill_mask = FillMask.from_pretrained(model_folder(options))
    found = fill_mask(texts, options.top_k)
    for text, answers in zip(texts, [found] if len(texts) == 1 else found, strict=True):
        if options.json:
            print(json.dumps({"text": text, "answers": answers}, ensure_ascii=False))
            continue
        for i, mask in enumerate([answers] if isinstance(answers[0], dict) else answers):
            if isinstance(answers[0], list):
                print(f"[MASK] number {i + 1}:")
            for answer in mask:
                print(f"{answer['score']:8.4f}  {answer['token_str']:<16}  {answer['sequence']}")
    note_default_model(options)
    return 0


def add_embed(commands: Any) -> None:
    parser = add_command(
        commands,
        "embed",
        "one vector for each text",
        "Print one vector for each text. A sentence-transformers folder says itself how it pools.",
        "bert-numpy embed --model all-MiniLM-L6-v2 --input lines.txt --output vectors.npy",
    )
    add_texts(parser, "a text")
    add_model(parser)
    parser.add_argument("--pooling", choices=("mean", "cls"), help="mean of the tokens (default), or that of [CLS]")
    parser.add_argument(
        "--normalize", action=argparse.BooleanOptionalAction, default=None, help="scale every vector to length 1"
    )
    parser.add_argument("--max-length", type=positive, metavar="N", help="cut longer texts at N tokens")
    parser.add_argument("--batch-size", type=positive, default=32, metavar="N", help="texts at a time (default: 32)")
    parser.add_argument("--output", metavar="FILE", help="write to FILE.npy or FILE.json instead of stdout")
    parser.add_argument(
        "--json",
        action="store_true",
        help="on stdout: one JSON object a line, text and embedding, not the numbers alone",
    )
    parser.set_defaults(run=run_embed)


def run_embed(options: argparse.Namespace) -> int:
    from ..checkpoints.files import replacing
    from ..configuration import BertConfig
    from ..pipelines import Embedder

    output = None if options.output is None else Path(options.output)
    if output is not None and (output.suffix not in (".npy", ".json") or not output.parent.is_dir() or output.is_dir()):
        raise UsageError(f"--output {output} must end in .npy or .json and lie in a folder that exists")
    if output is not None and options.json:
        raise UsageError("--json is for stdout; --output FILE.json writes a list of lists")
    folder = model_folder(options)
    longest = BertConfig.from_pretrained(folder).max_position_embeddings
    if options.max_length is not None and not 3 <= options.max_length <= longest:
        raise UsageError(
            f"--max-length {options.max_length} must lie between 3 and {longest}, the longest of the model"
        )
    texts = texts_of(options)
    embed = Embedder.from_pretrained(folder, options.pooling, options.normalize, options.max_length)
    vectors = embed(texts, options.batch_size)
    note_default_model(options)
    if output is None:
        for text, vector in zip(texts, vectors, strict=True):
            numbers = [round(float(x), 8) for x in vector]
            print(json.dumps({"text": text, "embedding": numbers} if options.json else numbers, ensure_ascii=False))
        return 0
    with replacing(output) as file:
        if output.suffix == ".npy":
            np.save(file, vectors)
        else:
            file.write(json.dumps(vectors.tolist()).encode() + b"\n")
    print(f"{len(vectors)} vectors of size {vectors.shape[1]} written to {output}", file=sys.stderr)
    return 0
