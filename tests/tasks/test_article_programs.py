"""Programs as articles write them for transformers; only the import lines are others, and tensors are arrays."""

import csv

import numpy as np
import pytest

from bert_numpy import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    BertTokenizerFast,
)
from bert_numpy.data import DataCollatorForTokenClassification, DataCollatorWithPadding, Dataset, load_dataset
from bert_numpy.training import EarlyStoppingCallback, Trainer, TrainingArguments
from bert_numpy.training.metrics import accuracy_score, f1_score, precision_recall_fscore_support
from bert_numpy.training.tagging_metrics import entity_f1_score


@pytest.fixture(autouse=True)
def seed(monkeypatch):
    """Articles draw the weights of a new head from an unseeded generator; a test must not."""
    default_rng = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed=None: default_rng(0 if seed is None else seed))


def test_a_dataset_class_over_the_encodings_of_a_csv_file(base, sms, tmp_path):
    # --- read
    with open(sms, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    texts = [row["text"] for row in rows]
    labels = [int(row["label"] == "spam") for row in rows]
    train_texts, val_texts = texts[:36], texts[36:]
    train_labels, val_labels = labels[:36], labels[36:]

    # --- tokenize
    tokenizer = BertTokenizerFast.from_pretrained(base)
    train_encodings = tokenizer(train_texts, truncation=True, padding=True, max_length=16)
    val_encodings = tokenizer(val_texts, truncation=True, padding=True, max_length=16)

    class SpamDataset:
        def __init__(self, encodings, labels):
            self.encodings = encodings
            self.labels = labels

        def __getitem__(self, idx):
            item = {key: np.array(val[idx]) for key, val in self.encodings.items()}
            item["labels"] = np.array(self.labels[idx])
            return item

        def __len__(self):
            return len(self.labels)

    train_dataset = SpamDataset(train_encodings, train_labels)
    val_dataset = SpamDataset(val_encodings, val_labels)

    # --- train
    model = BertForSequenceClassification.from_pretrained(base, num_labels=2)
    training_args = TrainingArguments(
        output_dir=str(tmp_path / "results"),
        num_train_epochs=8,
        per_device_train_batch_size=8,
        per_device_eval_batch_size=64,
        warmup_steps=5,
        weight_decay=0.01,
        learning_rate=1e-2,
        logging_dir=str(tmp_path / "logs"),
        logging_steps=10,
        save_strategy="no",
    )

    def compute_metrics(pred):
        labels = pred.label_ids
        preds = pred.predictions.argmax(-1)
        precision, recall, f1, _ = precision_recall_fscore_support(labels, preds, average="binary")
        return {"accuracy": accuracy_score(labels, preds), "f1": f1, "precision": precision, "recall": recall}

    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=train_dataset,
        eval_dataset=val_dataset,
        compute_metrics=compute_metrics,
    )
    trainer.train()
    results = trainer.evaluate()
    predictions, label_ids, metrics = trainer.predict(val_dataset)

    # --- what the article prints
    assert results["eval_f1"] == results["eval_accuracy"] == 1.0
    assert predictions.shape == (12, 2)
    assert (predictions.argmax(axis=1) == label_ids).all()
    assert metrics["test_loss"] == pytest.approx(results["eval_loss"])


def test_load_dataset_map_and_the_best_model(base, sms, tmp_path):
    lines = sms.read_text("utf-8").replace(",spam", ",1").replace(",ham", ",0").splitlines(keepends=True)
    (tmp_path / "train.csv").write_text("".join(lines[:37]), encoding="utf-8")
    (tmp_path / "test.csv").write_text("".join([lines[0], *lines[37:]]), encoding="utf-8")

    dataset = load_dataset("csv", data_files={"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv")})
    tokenizer = AutoTokenizer.from_pretrained(base)

    def preprocess_function(examples):
        return tokenizer(examples["text"], truncation=True)

    tokenized = dataset.map(preprocess_function, batched=True)
    data_collator = DataCollatorWithPadding(tokenizer=tokenizer)
    id2label = {0: "HAM", 1: "SPAM"}
    label2id = {"HAM": 0, "SPAM": 1}
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, id2label=id2label, label2id=label2id)

    def compute_metrics(eval_pred):
        predictions, labels = eval_pred
        predictions = np.argmax(predictions, axis=1)
        return {"f1": f1_score(labels, predictions)}

    training_args = TrainingArguments(
        output_dir=str(tmp_path / "my_model"),
        learning_rate=1e-2,
        per_device_train_batch_size=12,
        per_device_eval_batch_size=16,
        num_train_epochs=10,
        weight_decay=0.01,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        push_to_hub=False,
    )
    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=tokenized["train"],
        eval_dataset=tokenized["test"],
        processing_class=tokenizer,
        data_collator=data_collator,
        compute_metrics=compute_metrics,
        callbacks=[EarlyStoppingCallback(early_stopping_patience=4)],
    )
    trainer.train()
    trainer.save_model(str(tmp_path / "best"))

    text = "win free cash now"
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "best"))
    model = AutoModelForSequenceClassification.from_pretrained(str(tmp_path / "best"))
    inputs = tokenizer(text, return_tensors="np")
    logits = model(**inputs).logits
    predicted_class_id = logits.argmax().item()
    assert model.config.id2label[predicted_class_id] == "SPAM"
    assert trainer.state.best_metric == 1.0


def test_token_classification_with_labels_aligned_by_hand(base, tagged, tmp_path):
    label_list = ["O", "B-PER", "I-PER", "B-LOC", "B-ORG"]
    sentences = [block.splitlines() for block in tagged.read_text("utf-8").strip().split("\n\n")]
    raw = Dataset.from_dict(
        {
            "tokens": [[line.split()[0] for line in sentence] for sentence in sentences],
            "ner_tags": [[label_list.index(line.split()[1]) for line in sentence] for sentence in sentences],
        }
    )
    tokenizer = AutoTokenizer.from_pretrained(base)

    def tokenize_and_align_labels(examples):
        tokenized_inputs = tokenizer(examples["tokens"], truncation=True, is_split_into_words=True)
        labels = []
        for i, label in enumerate(examples["ner_tags"]):
            word_ids = tokenized_inputs.word_ids(batch_index=i)
            previous_word_idx = None
            label_ids = []
            for word_idx in word_ids:
                if word_idx is None:
                    label_ids.append(-100)
                elif word_idx != previous_word_idx:
                    label_ids.append(label[word_idx])
                else:
                    label_ids.append(-100)
                previous_word_idx = word_idx
            labels.append(label_ids)
        tokenized_inputs["labels"] = labels
        return tokenized_inputs

    tokenized = raw.map(tokenize_and_align_labels, batched=True)

    def compute_metrics(p):
        predictions, labels = p
        predictions = np.argmax(predictions, axis=2)
        pairs = [
            [(label_list[p], label_list[t]) for (p, t) in zip(prediction, label, strict=True) if t != -100]
            for prediction, label in zip(predictions, labels, strict=True)
        ]
        found, true = ([[pair[side] for pair in sentence] for sentence in pairs] for side in (0, 1))
        return {"f1": entity_f1_score(true, found)}

    model = AutoModelForTokenClassification.from_pretrained(base, num_labels=len(label_list))
    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir=str(tmp_path / "ner"),
            learning_rate=1e-2,
            per_device_train_batch_size=2,
            num_train_epochs=25,
            save_strategy="no",
        ),
        train_dataset=tokenized,
        eval_dataset=tokenized,
        data_collator=DataCollatorForTokenClassification(tokenizer),
        tokenizer=tokenizer,
        compute_metrics=compute_metrics,
    )
    trainer.train()
    assert trainer.evaluate()["eval_f1"] == 1.0
