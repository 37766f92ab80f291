"""Commands that need a model trained for them, and summarize: classify, tag, answer, summarize."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .usage import UsageError, add_command, add_model, add_texts, model_folder, note_default_model, positive, texts_of


def add_classify(commands: Any) -> None:
    parser = add_command(
        commands,
        "classify",
        "which class each text belongs to",
        "Print the likeliest label of each text with its score. The labels are those that the model was trained on: "
        "topics, sentiments, languages. A text that is too long is read through overlapping windows, and its scores "
        "are the mean over the windows, weighted by the tokens that are new in each. The model needs a trained "
        "classifier; `bert-numpy finetune classify` makes one.",
        'bert-numpy classify "WINNER!! Claim your prize now" --model my-spam-filter',
        "bert-numpy classify --input lines.txt --model my-spam-filter --json > labels.jsonl",
        "bert-numpy classify --pairs --input pairs.tsv --model my-entailment --top-k 3",
    )
    add_texts(parser, "a text")
    _add_trained_model(parser)
    parser.add_argument("--top-k", type=positive, default=1, metavar="N", help="how many labels (default: 1)")
    parser.add_argument("--pairs", action="store_true", help="each text is two, with a tab between them")
    parser.add_argument("--truncate", action="store_true", help="read only the beginning of long texts")
    _add_windows(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line: text, answers (label, score)")
    parser.set_defaults(run=run_classify)


def run_classify(options: argparse.Namespace) -> int:
    from ..pipelines import TextClassifier

    texts = texts_of(options)
    inputs: list[Any] = [_pair(text, number) for number, text in enumerate(texts, 1)] if options.pairs else texts
    classify = TextClassifier.from_pretrained(
        model_folder(options),
        top_k=options.top_k,
        truncation=options.truncate,
        max_length=options.max_length,
        stride=options.stride,
        batch_size=options.batch_size,
    )
    for text, answers in zip(texts, classify(inputs), strict=True):
        if options.json:
            _print_json(text=text, answers=answers)
            continue
        for answer in answers:
            print(f"{answer['score']:8.4f}  {answer['label']:<16}  {text}")
    return 0


def add_tag(commands: Any) -> None:
    parser = add_command(
        commands,
        "tag",
        "label the words of each text: names, parts of speech",
        "Print the entities of each text, each with its score, label, characters and words, and an empty line between "
        "texts. A text that is too long is read through overlapping windows; each token is labelled in the window in "
        "which it is farthest from an edge. The model needs a trained tagger; `bert-numpy finetune tag` makes one.",
        'bert-numpy tag "John Smith lives in Rome." --model my-ner',
        "bert-numpy tag --input lines.txt --model my-ner --aggregation first --json > entities.jsonl",
    )
    add_texts(parser, "a text")
    _add_trained_model(parser)
    parser.add_argument(
        "--aggregation",
        choices=("none", "simple", "first", "average", "max"),
        default="simple",
        help="how tokens become entities: not at all; neighbours of one label; or whole words first, with the label of "
        "the first piece, of the mean, or of the surest piece (default: simple)",
    )
    parser.add_argument("--ignore", metavar="LABELS", help="labels to leave out, separated by commas (default: O)")
    _add_windows(parser)
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a line: text, entities (entity or entity_group, score, …)"
    )
    parser.set_defaults(run=run_tag)


def run_tag(options: argparse.Namespace) -> int:
    from ..pipelines import TokenTagger

    texts = texts_of(options)
    tag = TokenTagger.from_pretrained(
        model_folder(options),
        aggregation_strategy=options.aggregation,
        ignore_labels=None if options.ignore is None else options.ignore.split(","),
        max_length=options.max_length,
        stride=options.stride,
        batch_size=options.batch_size,
    )
    for number, (text, entities) in enumerate(zip(texts, tag(texts), strict=True)):
        if options.json:
            _print_json(text=text, entities=entities)
            continue
        if number:
            print()
        for entity in entities:
            label = entity.get("entity_group", entity.get("entity"))
            place = f"{entity['start']}-{entity['end']}"
            print(f"{entity['score']:8.4f}  {label:<10}  {place:<11}  {text[entity['start'] : entity['end']]}")
    return 0


def add_answer(commands: Any) -> None:
    parser = add_command(
        commands,
        "answer",
        "the part of a text that answers each question",
        "Print, for each question, the part of the context that answers it best, with its probability. The answer is "
        "copied from the context; nothing is phrased, counted or concluded. A context that is too long is read through "
        "overlapping windows, and the best answer of all wins. The model needs a head trained for this; "
        "`bert-numpy finetune qa` makes one.",
        'bert-numpy answer "Where is it?" --context "The key is under the mat." --model my-qa',
        "bert-numpy answer --input questions.txt --context-file book.txt --model my-qa --top-k 3 --json",
    )
    add_texts(parser, "a question")
    _add_trained_model(parser)
    context = parser.add_mutually_exclusive_group(required=True)
    context.add_argument("--context", metavar="TEXT", help="the text to find the answers in")
    context.add_argument("--context-file", metavar="FILE", help="the file to find the answers in, as one text")
    parser.add_argument("--top-k", type=positive, default=1, metavar="N", help="how many answers (default: 1)")
    parser.add_argument(
        "--max-answer-length", type=positive, default=15, metavar="N", help="longest answer in tokens (default: 15)"
    )
    parser.add_argument("--no-answer", action="store_true", help='let "" be an answer, for models of SQuAD v2.0')
    _add_windows(parser)
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a line: question, answers (score, start, end, answer)"
    )
    parser.set_defaults(run=run_answer)


def run_answer(options: argparse.Namespace) -> int:
    from ..pipelines import QuestionAnswerer

    questions = texts_of(options)
    if options.context_file is not None:
        context = _document(options.context_file)
    else:
        context = texts_of(argparse.Namespace(texts=[options.context], input=None))[0]
    answer = QuestionAnswerer.from_pretrained(
        model_folder(options),
        top_k=options.top_k,
        max_answer_len=options.max_answer_length,
        max_seq_len=options.max_length,
        doc_stride=options.stride,
        handle_impossible_answer=options.no_answer,
        batch_size=options.batch_size,
    )
    found = answer(question=questions, context=context)
    for question, answers in zip(questions, [found] if len(questions) == 1 else found, strict=True):
        answers = [answers] if isinstance(answers, dict) else answers
        if options.json:
            _print_json(question=question, answers=answers)
            continue
        for one in answers:
            place = f"{one['start']}-{one['end']}"
            print(f"{one['score']:8.4f}  {place:<11}  {' '.join(one['answer'].split())}")
    return 0


def add_summarize(commands: Any) -> None:
    parser = add_command(
        commands,
        "summarize",
        "the sentences that stand best for a text",
        "Print those sentences of a text that are most like all others and least like each other, word for word and in "
        "their order. BERT is an encoder: it does not write, so this is no abstract. Models that were trained to "
        "compare sentences do it best.",
        "bert-numpy summarize --input article.txt --model all-MiniLM-L6-v2 --sentences 3",
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text; without any, stdin is read as one text")
    parser.add_argument("--input", metavar="FILE", help="read this file as one text; - is stdin")
    add_model(parser)
    parser.add_argument("--sentences", type=positive, default=3, metavar="N", help="how many (default: 3)")
    parser.add_argument(
        "--diversity", type=float, default=0.3, metavar="D", help="from 0, repetitions are fine, to 1 (default: 0.3)"
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object for each text: summary, sentences (sentence, score, …)"
    )
    parser.set_defaults(run=run_summarize)


def run_summarize(options: argparse.Namespace) -> int:
    from ..pipelines import Summarizer

    if not 0 <= options.diversity <= 1:
        raise UsageError(f"--diversity {options.diversity} must lie between 0 and 1")
    texts = texts_of(options)
    texts = texts if options.texts else ["\n".join(texts)]
    summarize = Summarizer.from_pretrained(model_folder(options), options.sentences, options.diversity)
    for number, text in enumerate(texts):
        sentences = summarize(text)
        if options.json:
            _print_json(summary=" ".join(s["sentence"] for s in sentences), sentences=sentences)
            continue
        if number:
            print()
        for sentence in sentences:
            print(" ".join(sentence["sentence"].split()))
    note_default_model(options)
    return 0


def _add_trained_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="FOLDER",
        required=True,
        help="a folder with config.json, weights and a tokenizer, or the name of a published model, trained for this",
    )


def _add_windows(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-length", type=positive, metavar="N", help="tokens of a window (default: what the model reads at once)"
    )
    parser.add_argument(
        "--stride",
        type=_not_negative,
        metavar="N",
        help="tokens that neighbouring windows share (default: chosen by the length of a window)",
    )
    parser.add_argument("--batch-size", type=positive, default=32, metavar="N", help="windows at a time (default: 32)")


def _not_negative(text: str) -> int:
    """An argument that must be a whole number from 0."""
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _pair(text: str, number: int) -> dict[str, str]:
    """Two texts with a tab between them."""
    parts = text.split("\t")
    if len(parts) != 2:
        raise ValueError(f"text {number} has {len(parts) - 1} tabs; --pairs needs two texts with one tab between them")
    return {"text": parts[0], "text_pair": parts[1]}


def _document(path: str) -> str:
    """A whole file as one text."""
    if Path(path).is_dir():
        raise UsageError(f"--context-file {path} is a folder; give a file")
    if not Path(path).exists():
        raise FileNotFoundError(f"no file {path}")
    try:
        return Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}:{line}: not UTF-8 (byte {error.object[error.start]:#04x}); convert the file"
        ) from None


def _print_json(**values: Any) -> None:
    json.dump(values, sys.stdout, ensure_ascii=False)
    print()
