"""Google's program, draw for draw.

`plain_program` below says what the program does, step by step and without regard to speed.  It is checked against the
recorded output of the program itself (tests/golden/google_pretraining.json), and stands for it where nothing was
recorded: whole-word masking, which came later, and random documents.
"""

from __future__ import annotations

import json
import random
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_numpy.data.documents import TokenizedDocuments, read_documents
from bert_numpy.data.google_pretraining import create_instances, to_arrays
from bert_numpy.tokenization import BertTokenizer

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "google_pretraining.json").read_text(encoding="utf-8"))
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS = [*SPECIAL, *"abcdefgh", *("##" + letter for letter in "abcdefgh")]
CLS, SEP, MASK = 2, 3, 4

# Words of one to four letters: one to four pieces.
sentences = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=1, max_size=9).map(" ".join)
document_lists = st.lists(st.lists(sentences, min_size=1, max_size=6), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizer:
    return BertTokenizer(TOKENS, mode="google")


def plain_program(
    documents: list[list[list[int]]], tokens: list[str], seed: int, length: int, dupes: int, short: float,
    probability: float, most: int, whole_words: bool = False,
) -> list[list]:  # fmt: skip
    rng = random.Random(seed)
    documents = list(documents)
    rng.shuffle(documents)
    made = []
    for number in list(range(len(documents))) * dupes:
        queue = list(documents[number])
        wanted = rng.randint(2, length - 3) if rng.random() < short else length - 3
        while queue:
            gathered = [queue.pop(0)]
            while queue and sum(map(len, gathered)) < wanted:
                gathered.append(queue.pop(0))
            n_a = 1 if len(gathered) == 1 else rng.randint(1, len(gathered) - 1)
            a, rest = list(chain(*gathered[:n_a])), gathered[n_a:]
            if not rest or rng.random() < 0.5:
                label, queue = 1, rest + queue
                tries = 0
                other = number
                while other == number and tries < 10:
                    other = rng.randint(0, len(documents) - 1)
                    tries += 1
                source = documents[other][rng.randint(0, len(documents[other]) - 1) :]
                b = list(source.pop(0))
                while source and len(b) < wanted - len(a):
                    b += source.pop(0)
            else:
                label, b = 0, list(chain(*rest))
            while len(a) + len(b) > length - 3:
                longer = a if len(a) > len(b) else b
                longer.pop(0 if rng.random() < 0.5 else -1)
            ids = [CLS, *a, SEP, *b, SEP]
            made.append([*plain_masks(ids, tokens, rng, probability, most, whole_words), len(a) + 2, label])
    rng.shuffle(made)
    return made


def plain_masks(
    ids: list[int], tokens: list[str], rng: random.Random, probability: float, most: int, whole_words: bool
) -> tuple[list[int], list[int], list[int]]:
    groups: list[list[int]] = []
    for place, token_id in enumerate(ids):
        if token_id not in (CLS, SEP):
            continues = whole_words and groups and tokens[token_id].startswith("##")
            if continues:
                groups[-1] += [place]
            else:
                groups += [[place]]
    rng.shuffle(groups)
    room = min(most, max(1, round(len(ids) * probability)))
    old = {}
    new = list(ids)
    for group in groups:
        if room == 0:
            break
        if len(group) > room:
            continue
        room -= len(group)
        for place in group:
            old[place] = ids[place]
            if rng.random() < 0.8:
                new[place] = MASK
            elif rng.random() >= 0.5:
                new[place] = rng.randint(0, len(tokens) - 1)
    return new, sorted(old), [old[place] for place in sorted(old)]


def as_lists(instances: list) -> list[list]:
    arrays = "input_ids", "masked_lm_positions", "masked_lm_ids"
    return [
        [*(getattr(instance, name).tolist() for name in arrays), instance.segment_b, instance.next_sentence_label]
        for instance in instances
    ]


def settings_of(seed: int, length: int, dupes: int, short: float, probability: float, most: int) -> dict:
    return {"max_seq_length": length, "dupe_factor": dupes, "short_seq_prob": short, "masked_lm_prob": probability,
            "max_predictions_per_seq": most, "rng": seed}  # fmt: skip


@pytest.mark.parametrize(("run", "answers"), GOLDEN["runs"], ids=lambda value: str(value)[:40])
def test_the_recorded_output_of_the_program(run: list, answers: list, tmp_path: Path) -> None:
    tokenizer = BertTokenizer(GOLDEN["vocabulary"], mode="google")
    path = tmp_path / "corpus.txt"
    path.write_text(GOLDEN["text"], encoding="utf-8")
    documents = TokenizedDocuments(read_documents(path), tokenizer)
    found = as_lists(create_instances(documents, tokenizer, **settings_of(*run)))
    expected = [[ids, places, old, segment_b, label] for ids, segment_b, places, old, label in answers]
    assert len(expected) > 10
    assert found == expected
    given_a_generator = settings_of(*run) | {"rng": random.Random(run[0])}
    assert as_lists(create_instances(documents, tokenizer, **given_a_generator)) == expected
    lists = [documents.sentences(number) for number in range(len(documents))]
    assert [list(i) for i in plain_program(lists, GOLDEN["vocabulary"], *run)] == expected


@settings(max_examples=60, deadline=None, database=None)
@given(
    texts=document_lists,
    length=st.integers(5, 40),
    seed=st.integers(0, 2**32),
    short=st.sampled_from([0.0, 0.5, 1.0]),
    most=st.integers(1, 9),
    whole_words=st.booleans(),
)
def test_any_documents_give_what_the_plain_program_gives(
    texts: list[list[str]], length: int, seed: int, short: float, most: int, whole_words: bool
) -> None:
    tokenizer = BertTokenizer(TOKENS, mode="google")
    documents = TokenizedDocuments(texts, tokenizer)
    run = seed, length, 2, short, 0.3, most
    found = create_instances(documents, tokenizer, do_whole_word_mask=whole_words, **settings_of(*run))
    lists = [documents.sentences(number) for number in range(len(documents))]
    assert as_lists(found) == [list(i) for i in plain_program(lists, TOKENS, *run, whole_words)]


def test_arrays_are_what_the_model_takes(tokenizer: BertTokenizer) -> None:
    documents = TokenizedDocuments([["a b", "c"], ["dd", "e f g"]], tokenizer)
    instances = create_instances(documents, tokenizer, max_seq_length=12, dupe_factor=3, rng=1)
    arrays = to_arrays(instances, 12)
    for row, instance in enumerate(instances):
        n, places = len(instance.input_ids), instance.masked_lm_positions
        assert arrays["input_ids"][row].tolist() == [*instance.input_ids, *[0] * (12 - n)]
        assert arrays["attention_mask"][row].tolist() == [1] * n + [0] * (12 - n)
        assert arrays["token_type_ids"][row, :n].sum() == n - instance.segment_b
        assert np.flatnonzero(arrays["labels"][row] != -100).tolist() == places.tolist()
        assert arrays["labels"][row, places].tolist() == instance.masked_lm_ids.tolist()
    assert arrays["next_sentence_label"].tolist() == [instance.next_sentence_label for instance in instances]
    assert to_arrays(instances)["input_ids"].shape[1] == max(len(instance.input_ids) for instance in instances)
    with pytest.raises(ValueError, match="do not fit max_length 4"):
        to_arrays(instances, 4)
