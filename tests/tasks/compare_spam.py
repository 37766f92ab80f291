"""Fine-tune one model on spam with bert_numpy and with transformers + torch, by one recipe, and compare the results.

    python tests/tasks/compare_spam.py --model all-MiniLM-L6-v2 --data sms_spam.tsv --output spam.json
    python tests/tasks/compare_spam.py ... --side transformers --seeds 1          (one side, one seed)

In an environment with the extra `reference`.  DATA is a TSV with a header and two columns, the label ("ham" or "spam")
and the text.  Every seed divides it 80/20, the same for both sides, and is given to both: but their generators differ,
so that the first weights of the classifier, dropout and the order of the batches do too, and only the spread over the
seeds tells what a difference means.

The recipe: 64 tokens, batches of 32 messages of about one length, AdamW at 5e-5 without weight decay, falling linearly
to zero, gradients cut at norm 1, 2 epochs.  Each run ends with the F1 of "spam" on the fifth that was set aside, and is
written to OUTPUT at once; what stands there already is not run again.  The table comes last.
"""

import argparse
import csv
import json
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

SIDES = ("bert_numpy", "transformers")
MAX_LENGTH = 64


def read(path):
    """The texts, and 1 for spam."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return [text for _, text in rows], [int(label == "spam") for label, _ in rows]


def divide(count, seed):
    """The numbers of the messages to learn from, and of the fifth to be measured on."""
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order[count // 5 :], order[: count // 5]


def f1_of(predicted, true):
    hits = sum(p == t == 1 for p, t in zip(predicted, true, strict=True))
    return 2 * hits / (sum(predicted) + sum(true))


def library(side):
    """(tokenizer class, model class, trainer, arguments, collator) of a side: the same names in both."""
    if side == "bert_numpy":
        import bert_numpy as b
        from bert_numpy.data import DataCollatorWithPadding

        return b.BertTokenizer, b.BertForSequenceClassification, b.Trainer, b.TrainingArguments, DataCollatorWithPadding
    import transformers as t

    t.logging.set_verbosity_error()
    model = t.BertForSequenceClassification
    return t.BertTokenizerFast, model, t.Trainer, t.TrainingArguments, t.DataCollatorWithPadding


def train(side, folder, texts, labels, seed, epochs):
    """One run; returns what it measured."""
    tokenizer_class, model_class, trainer_class, arguments_class, collator_class = library(side)
    tokenizer = tokenizer_class.from_pretrained(folder)
    encoded = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)
    examples = [{"input_ids": ids, "labels": label} for ids, label in zip(encoded["input_ids"], labels, strict=True)]
    learnt, measured = divide(len(texts), seed)
    if side == "transformers":
        import transformers

        transformers.set_seed(seed)
        model = model_class.from_pretrained(folder, num_labels=2)
    else:
        model = model_class.from_pretrained(folder, num_labels=2, rng=seed)
    with tempfile.TemporaryDirectory() as output:
        args = arguments_class(
            output,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=64,
            num_train_epochs=epochs,
            learning_rate=5e-5,
            train_sampling_strategy="group_by_length",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_steps=50,
            use_cpu=True,
            seed=seed,
        )
        trainer = trainer_class(
            model=model,
            args=args,
            data_collator=collator_class(tokenizer),
            train_dataset=[examples[i] for i in learnt],
        )
        began, used = time.time(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
        trainer.train()
        minutes, cpu = time.time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_utime - used
        logits, true, _ = trainer.predict([examples[i] for i in measured])
    predicted, true = np.argmax(logits, -1).tolist(), true.tolist()  # transformers groups these by length too
    assert sorted(true) == sorted(labels[i] for i in measured)
    accuracy = sum(p == t for p, t in zip(predicted, true, strict=True)) / len(true)
    figures = {"f1": f1_of(predicted, true), "accuracy": accuracy, "minutes": minutes / 60, "cpu_minutes": cpu / 60}
    return {"side": side, "seed": seed, "epochs": epochs, "examples": len(true), **figures}


def table(runs):
    """The runs, then mean and spread of each side."""
    lines = ["side          seed  epochs      F1  accuracy  minutes  CPU minutes"]
    for run in sorted(runs, key=lambda run: (run["side"], run["seed"])):
        lines.append(
            f"{run['side']:<12}  {run['seed']:>4}  {run['epochs']:>6g}  {run['f1']:.4f}  {run['accuracy']:>8.4f}"
            f"  {run['minutes']:>7.1f}  {run['cpu_minutes']:>11.1f}"
        )
    for side in SIDES:
        if values := [run["f1"] for run in runs if run["side"] == side]:
            spread = f"{min(values):.4f} to {max(values):.4f}"
            lines.append(f"{side:<12}  mean F1 {statistics.mean(values):.4f}, {spread} over {len(values)} seeds")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="the folder of a pre-trained model")
    parser.add_argument("--data", required=True, help="a TSV of labels and texts, with a header")
    parser.add_argument("--output", required=True, type=Path, help="JSON of the runs; those in it are not run again")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--side", choices=SIDES, nargs="+", default=list(SIDES))
    parser.add_argument("--epochs", type=float, default=2)
    options = parser.parse_args()
    texts, labels = read(options.data)
    runs = json.loads(options.output.read_text("utf-8")) if options.output.exists() else []
    for seed in options.seeds:
        for side in options.side:
            if not any((run["side"], run["seed"], run["epochs"]) == (side, seed, options.epochs) for run in runs):
                runs.append(train(side, options.model, texts, labels, seed, options.epochs))
                options.output.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    print(table(runs))


if __name__ == "__main__":
    main()
