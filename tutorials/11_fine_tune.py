# %% [markdown]
# # 11. Fine-tune: classify, tag, answer
#
# **What you will do.** Take the small pre-trained BERT that ships here through three tasks, written as articles write
# them: sort texts by their kind, tag persons, places and times, and answer questions from a text. Do each a second time
# with a model that is as large but fresh.
#
# **What you will learn.** That a task is a head, a collator and a metric, while the rest stays what it was. How labels
# are aligned with tokens, and answers with characters. What pre-training brings, in numbers: the difference of two runs
# that differ in nothing else.
#
# **What you need.** Tutorial 8 (the objectives) and 9 (the optimizer). About 30 minutes to read.

# %%
import csv
import json
import logging
import random
import tempfile
from pathlib import Path

import numpy as np

from bert_numpy import (
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Dataset,
    Trainer,
    TrainingArguments,
    load_dataset,
)
from bert_numpy.data import find_answers, read_conll, read_squad, tokenize_and_align_labels, tokenize_questions
from bert_numpy.data.world import tables
from bert_numpy.data.world.stories import STORIES
from bert_numpy.training.answer_metrics import squad_evaluate
from bert_numpy.training.metrics import accuracy_score, confusion_matrix
from bert_numpy.training.tagging_metrics import entity_f1_score
from bert_numpy.visualization import plot_confusion_matrix

logging.getLogger("bert_numpy").setLevel(logging.ERROR)  # it would say of every head that it is new, which is the point
tokenizer = BertTokenizer.from_pretrained("small-world")
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
generator = random.Random(11)

# %% [markdown]
# ## 1. Classify: the kind of a text
#
# The task: a sentence, and of which of 14 kinds of stories it comes. Only **five** examples of each kind are given.
# Data come as files, here a CSV with a header.

# %%
kinds = [story.name for story in STORIES]


def write_csv(name, examples_of_each):
    with open(folder / name, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for _ in range(examples_of_each):
            for label, story in enumerate(STORIES):
                sentences = story.tell(generator)
                writer.writerow([sentences[int(generator.random() * len(sentences))], label])


write_csv("train.csv", 5)
write_csv("test.csv", 15)
files = {"train": str(folder / "train.csv"), "test": str(folder / "test.csv")}
dataset = load_dataset("csv", data_files=files)
print(len(dataset["train"]), "examples to learn from,", len(dataset["test"]), "to test on")
for i in (0, 1, 2):
    print(f"    {kinds[dataset['train'][i]['label']]:10s} {dataset['train'][i]['text']}")

# %% [markdown]
# The head is one linear layer on the pooled vector of `[CLS]`, and the loss is a cross-entropy over the kinds:
#
# $$\text{logits} = W\,\tanh(W_p h_{[\mathrm{CLS}]} + b_p) + b.$$
#
# Texts of different lengths become a batch by padding; that is the **collator's** work. Padding each batch to *its*
# longest text, not all texts to the longest of all, saves most of it.

# %%
tokenized = dataset.map(lambda examples: tokenizer(examples["text"], truncation=True), batched=True)
collator = DataCollatorWithPadding(tokenizer=tokenizer)
batch = collator([{"input_ids": tokenized["train"][i]["input_ids"], "label": 0} for i in (0, 1)])
print({name: values.shape for name, values in batch.items()})


def compute_accuracy(prediction):
    return {"accuracy": accuracy_score(prediction.label_ids, prediction.predictions.argmax(axis=-1))}


# %% [markdown]
# Now the run, as in any article on fine-tuning. The only unusual lines choose where the weights come from:
# `small-world`, or nowhere. Both begin with the same fresh head, since no file has it, and both compute in float64, so
# that every machine gets the same numbers. The learning rate is that of a small model; for BERT-base take 2e-5 to 5e-5.


# %%
def load(model_class, pretrained, **settings):
    model = model_class.from_pretrained("small-world", dtype=np.float64, rng=0, **settings)
    return model if pretrained else model_class(model.config, rng=0).astype(np.float64)


def fine_tune(model, train, collator, epochs):
    arguments = TrainingArguments(
        output_dir=str(folder / "output"),
        learning_rate=1e-3,
        warmup_ratio=0.1,
        weight_decay=0.01,
        num_train_epochs=epochs,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=64,
        num_replicas=2,  # each batch is divided between two threads
        save_strategy="no",
        seed=1,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=train, data_collator=collator)
    trainer.train()
    return trainer


accuracy = {}
for name, pretrained in {"small-world": True, "fresh": False}.items():
    model = load(BertForSequenceClassification, pretrained, num_labels=len(kinds))
    trainer = fine_tune(model, tokenized["train"], collator, epochs=8)
    prediction = trainer.predict(tokenized["test"])
    accuracy[name] = compute_accuracy(prediction)["accuracy"]
    print(f"{name:12s} accuracy {accuracy[name]:.2f}")
    if pretrained:
        classifier, predicted = model, prediction.predictions.argmax(axis=-1)
print(f"{'by chance':12s} accuracy {1 / len(kinds):.2f}")
assert accuracy["small-world"] > accuracy["fresh"] + 0.1

# %% [markdown]
# A number says how many errors there are, a confusion matrix says which. Are they errors one can understand? Some
# sentences occur in two kinds of stories ("the capital of … is …"), so nobody can do without any.

# %%
figure = plot_confusion_matrix(
    confusion_matrix(dataset["test"]["label"], predicted), kinds, title="The kind of a text: small-world, fine-tuned"
)
figure

# %% [markdown]
# ## 2. Tag: persons, places, times
#
# Now every *token* gets a label. The data are in the format of CoNLL: a word and its tag on a line, an empty line after
# each sentence. And it is made hard on purpose: **no name, place, day or month of the test occurs in the training
# data.**

# %%
tag_of = dict.fromkeys(tables.PEOPLE.words("name"), "B-PER")
tag_of |= {word: "B-LOC" for column in ("country", "capital") for word in tables.PLACES.words(column)}
tag_of |= {word: "B-TIME" for table in (tables.DAYS, tables.MONTHS) for word in table.words("first")}
for_training = {word for word in sorted(tag_of) if generator.random() < 0.5}


def write_conll(name, count, allowed):
    """Sentences whose entities are all among those allowed."""
    lines = []
    while count:
        sentences = STORIES[int(generator.random() * len(STORIES))].tell(generator)
        words = sentences[int(generator.random() * len(sentences))].split()
        entities = {word for word in words if word in tag_of}
        if entities and entities <= allowed:
            lines += [f"{word} {tag_of.get(word, 'O')}" for word in words] + [""]
            count -= 1
    (folder / name).write_text("\n".join(lines), encoding="utf-8")


write_conll("train.conll", 100, for_training)
write_conll("test.conll", 100, tag_of.keys() - for_training)
print((folder / "train.conll").read_text(encoding="utf-8")[:120])

# %% [markdown]
# The collator must pad the labels too, with -100, which the loss passes over; so do `[CLS]` and `[SEP]`. Where a word
# is cut into pieces, its first piece has the label. (The words of the small world are one piece each.)

# %%
train = read_conll(folder / "train.conll")
tags = train.labels
test = read_conll(folder / "test.conll", labels=tags)
align = lambda examples: tokenize_and_align_labels(examples, tokenizer)  # noqa: E731
train_tokens, test_tokens = train.map(align, batched=True), test.map(align, batched=True)
print(tags)
print(train[0]["tokens"][:5], train[0]["tags"][:5], "->", train_tokens[0]["labels"][:6])
assert train_tokens[0]["labels"][0] == -100
assert train_tokens[0]["labels"][1] == train[0]["tags"][0]


def f1_of_entities(prediction):
    """F1 of whole entities: an entity counts if it is found with its kind and its exact ends."""
    names, found, true = list(tags.names), [], []
    for logits, labels in zip(prediction.predictions, prediction.label_ids, strict=True):
        live = labels != -100
        found.append([names[i] for i in logits.argmax(axis=-1)[live]])
        true.append([names[i] for i in labels[live]])
    return entity_f1_score(true, found)


f1 = {}
for name, pretrained in {"small-world": True, "fresh": False}.items():
    model = load(BertForTokenClassification, pretrained, num_labels=len(tags))
    trainer = fine_tune(model, train_tokens, DataCollatorForTokenClassification(tokenizer), epochs=4)
    f1[name] = f1_of_entities(trainer.predict(test_tokens))
    print(f"{name:12s} F1 {f1[name]:.2f}")
    if pretrained:
        tagger = model
assert f1["small-world"] > f1["fresh"] + 0.2

# %% [markdown]
# The fresh model has never seen these words: their vectors are random, and only the neighbours give a hint. The
# pre-trained one has not seen them *tagged* either. But it knows that they are used like those that were, and lie near
# them on the map of tutorial 12. That is what pre-training brings: **what is learned of one word holds for its kind.**

# %%
text = "in december rosa travels by train to denmark ."
logits = tagger(**tokenizer(text, return_tensors="np")).logits[0, 1:-1]
print(" ".join(f"{word}/{tags.names[i]}" for word, i in zip(text.split(), logits.argmax(axis=-1), strict=True)))

# %% [markdown]
# Not every tag is right, as the F1 says.
#
# ## 3. Answer: where in the text does it stand?
#
# A question and a text; the answer is a stretch of the text. The head gives each token two numbers, one for "the answer
# begins here" and one for "it ends here", and the loss is the mean of two cross-entropies *over the positions*:
#
# $$\tfrac12\big(-\log \mathrm{softmax}(s)_{\text{begin}} - \log \mathrm{softmax}(e)_{\text{end}}\big).$$
#
# The data are in the format of SQuAD, where an answer is a text and the *character* at which it begins. Our texts are
# five facts in random order; the question asks for one of them, with a mask in the place of the answer. Again no fact
# of the test occurs in training.

# %%
FORMS = [
    ("the capital of {} is {} .", tables.PLACES, "country", "capital"),
    ("people in {} speak {} .", tables.PLACES, "country", "language"),
    ("the opposite of {} is {} .", tables.OPPOSITES, "word", "opposite"),
    ("the month after {} is {} .", tables.MONTHS, "first", "second"),
    ("a {} works in a {} .", tables.JOBS, "word", "workplace"),
]
facts = [
    [(form, table.cell(i, key), table.cell(i, value)) for i in range(len(table))] for form, table, key, value in FORMS
]
for of_form in facts:
    generator.shuffle(of_form)


def write_squad(name, count, facts):
    paragraphs = []
    for i in range(count):
        told = generator.sample([generator.choice(of_form) for of_form in facts], len(facts))
        sentences = [form.format(key, value) for form, key, value in told]
        asked = int(generator.random() * 5)
        form, key, value = told[asked]
        context = " ".join(sentences)
        start = len(" ".join([*sentences[:asked], ""])) + sentences[asked].rindex(value)
        assert context[start:].startswith(value)
        answer = {"text": value, "answer_start": start}
        question = {"id": f"{name} {i}", "question": form.format(key, "[MASK]"), "answers": [answer]}
        paragraphs.append({"context": context, "qas": [question]})
    squad = {"version": "1.1", "data": [{"title": "facts", "paragraphs": paragraphs}]}
    (folder / name).write_text(json.dumps(squad), encoding="utf-8")


write_squad("train.json", 400, [of_form[::2] for of_form in facts])
write_squad("test.json", 100, [of_form[1::2] for of_form in facts])
train, test = read_squad(folder / "train.json"), read_squad(folder / "test.json")
for name in ("context", "question", "answers"):
    print(f"{name}: {train[0][name]}")

# %% [markdown]
# Tokenizing turns the character into a token, by the offsets of the tokens in the text. Check it: the tokens from
# `start_positions` to `end_positions` are the answer.

# %%
features = {}
for name, examples in {"train": train, "test": test}.items():
    features[name] = Dataset.from_dict(tokenize_questions(examples, tokenizer, max_length=96, doc_stride=16))
    for row, example in zip(features[name], examples, strict=True):
        span = row["input_ids"][row["start_positions"] : row["end_positions"] + 1]
        assert tokenizer.decode(span) == example["answers"]["text"][0]
print(f"{len(features['train'])} texts: every span of tokens is its answer")

scores = {}
for name, pretrained in {"small-world": True, "fresh": False}.items():
    model = load(BertForQuestionAnswering, pretrained)
    trainer = fine_tune(model, features["train"], DataCollatorWithPadding(tokenizer), epochs=6)
    start_logits, end_logits = trainer.predict(features["test"]).predictions
    answers = find_answers(test, features["test"], start_logits, end_logits)
    scores[name] = squad_evaluate(test, {key: best[0].text for key, best in answers.items()})
    print(f"{name:12s} exact {scores[name]['exact_match']:5.1f}   F1 {scores[name]['f1']:5.1f}")
assert scores["fresh"]["exact_match"] < 40
assert scores["small-world"]["exact_match"] > scores["fresh"]["exact_match"] + 30

# %% [markdown]
# The fresh model hardly gets beyond guessing one of the five facts. The pre-trained one has learned to connect a mask
# with the words of its own fact; the new head only has to learn to point at what fits.
#
# `find_answers` does not take the best begin and the best end each by itself: it looks for the best *pair* that is an
# answer, whose end is not before its begin and that lies in the text, not in the question.
#
# ## 4. The three together
#
# | task | head on | a label for | collator pads | metric |
# |---|---|---|---|---|
# | classify | `[CLS]`, pooled | the text | inputs | accuracy, F1 |
# | tag | every token | the token | inputs, labels with -100 | F1 of entities |
# | answer | every token, twice | begin and end | inputs | exact match, F1 of words |

# %%
print(f"{'':12s} accuracy  F1 of entities  exact match")
for name in ("small-world", "fresh"):
    print(f"{name:12s} {accuracy[name]:8.2f} {f1[name]:15.2f} {scores[name]['exact_match'] / 100:12.2f}")
temporary.cleanup()

# %% [markdown]
# ## On your own
#
# 1. Give the classifier 2, 5, 20 and 80 examples of each kind. At how many does the fresh model catch up? Draw both
#    curves.
# 2. Freeze the encoder: after `model.backward`, set the gradients of all parameters that begin with `bert.` to zero (a
#    callback of the `Trainer`, `on_pre_optimizer_step`). Which of the three tasks suffers least, and why?
# 3. Tag with the words of the test in the training data as well. What is the fresh model's F1 now, and what had it been
#    measuring before?
# 4. Train the third task with 2,000 texts instead of 400, and with all five facts of one form ("the capital of …"), so
#    that the form no longer tells which fact is meant. Which of the two is harder, for which model?
# 5. Ask for facts that contradict what the model learned in pre-training ("the capital of france is rome ."), in
#    context and answer. Does it read, or does it remember?
# 6. The same from the command line, with a model of your choice: `bert-numpy finetune classify --model … --train
#    train.csv --output …`, then `bert-numpy evaluate`.
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `binary_cross_entropy_with_logits_forward`, `binary_cross_entropy_with_logits_backward`, `span_cross_entropy`,
# `normalize_answer`, `compute_f1` and `get_entities`.
#
# ## Further reading
#
# - Devlin et al. 2018, arXiv 1810.04805, sections 3.2, 4 and 5.3, figure 4: the tasks and their heads.
# - Rajpurkar et al. 2016, arXiv 1606.05250: SQuAD. Tjong Kim Sang and De Meulder 2003, arXiv cs/0306050: CoNLL.
# - In the package: `bert_numpy/models/task_heads.py`, the heads forward and backward; `bert_numpy/data/tagging.py` and
#   `question_answering.py`, how labels meet tokens; `bert_numpy/tasks/recipes.py`, all of this as one call.
