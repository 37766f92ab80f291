"""What the small world says is true: grammar, facts and order, judged by other means than its own tables."""

import calendar
import hashlib
import random
import re
from itertools import pairwise

import pytest

from bert_numpy.data.documents import read_documents
from bert_numpy.data.pretraining import PretrainingDataset
from bert_numpy.data.world import (
    Window,
    WindowTruth,
    generate_documents,
    sample_windows,
    world_vocabulary,
    write_corpus,
)
from bert_numpy.data.world.corpus import LONGEST, seeded_generator
from bert_numpy.data.world.stories import STORIES, draw, read_story
from bert_numpy.data.world.tables import DAYS, FAMILY, OPPOSITES, Table, pairs
from bert_numpy.tokenization import BertTokenizer


def words(text):
    return text.split()


WOMEN = words("anna maria emma sara julia laura alice clara nina eva helen lucy ruth rosa mary kate")
MEN = words("tom peter paul max leo david john mark hugo felix oscar simon martin victor henry ben")
VALUE = {w: n for n, w in enumerate(words("one two three four five six seven eight nine ten"), 1)}
PLURALS = {"mice": "mouse", "geese": "goose", "wolves": "wolf"}
PAST = {"ran": "run", "drove": "drive", "rode": "ride", "went": "go", "swam": "swim", "made": "make", "chose": "choose"}


@pytest.fixture(scope="module")
def documents():
    return list(generate_documents(3000, seed=11))


def found(documents, pattern):
    """The groups of every sentence that has the pattern from start to end; there must be some."""
    compiled = re.compile(pattern)
    matches = [m.groups() for document in documents for s in document if (m := compiled.fullmatch(s))]
    assert len(matches) > 50
    return matches


def base(verb):
    """The infinitive of a verb of the world, by the rules of spelling."""
    if verb in PAST:
        return PAST[verb]
    for ending, put_back in (("ied", "y"), ("ies", "y"), ("ed", ""), ("s", "")):
        if verb.endswith(ending):
            verb = verb.removesuffix(ending) + put_back
            return {"goe": "go", "cycl": "cycle", "serv": "serve"}.get(verb, verb)
    return verb


def test_the_corpus_of_a_seed_never_changes(tmp_path):
    count = write_corpus(tmp_path / "a", 500, seed=0)
    text = (tmp_path / "a").read_bytes()
    assert hashlib.sha256(text).hexdigest() == "938cf0828326f3d4416361964e974c30b22bd1fb221af57e6a44038560dd4f54"
    assert count == len(text.split())
    assert list(read_documents(tmp_path / "a")) == list(generate_documents(500, seed=0))


def test_draw_uses_only_random():
    class OnlyRandom:
        def __init__(self, seed):
            self.random = random.Random(seed).random

    for story in STORIES:
        assert story.tell(OnlyRandom(3)) == story.tell(random.Random(3))
    assert [draw(OnlyRandom(5), n) for n in (1, 10, 1000)] == [0, 6, 622]


def test_more_documents_begin_with_fewer_and_the_held_out_ones_are_others():
    few, many = list(generate_documents(20, seed=3)), list(generate_documents(400, seed=3))
    assert many[:20] == few
    held_out = [tuple(d) for d in generate_documents(3000, seed=3, split="held_out")]
    assert not set(held_out) & {tuple(d) for d in generate_documents(20000, seed=3)}
    assert len(set(held_out)) > 2990
    streams = {seeded_generator(seed, split).random() for seed in range(20) for split in ("train", "held_out")}
    assert len(streams) == 40


def test_documents_have_the_size_that_is_promised(documents):
    assert {len(d) for d in documents} <= set(range(4, 11))
    lengths = [len(" ".join(d).split()) for d in documents]
    assert max(lengths) <= 48
    assert 35 < sum(lengths) / len(lengths) < 48
    counts = [0] * len(STORIES)
    for document in documents:
        counts[next(i for i, s in enumerate(STORIES) if tells(s, document))] += 1
    assert min(counts) > 3000 / len(STORIES) * 0.7


def tells(story, document):
    first = {w for item in story.sentences[0][0] for w in ([item] if isinstance(item, str) else []) if w != "."}
    shape = len(story.sentences) == len(document) and len(story.sentences[0][0]) == len(document[0].split())
    return shape and first <= set(document[0].split())


def test_every_word_is_one_token_and_none_is_unknown(documents):
    vocabulary = world_vocabulary()
    assert vocabulary[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(set(vocabulary)) == len(vocabulary) <= 510
    assert vocabulary[5:] == sorted(vocabulary[5:])
    tokenizer = BertTokenizer(vocabulary)
    for document in documents[:300]:
        assert tokenizer.tokenize(" ".join(document)) == " ".join(document).split()
    seen = {word for document in documents for sentence in document for word in sentence.split()}
    assert seen == set(vocabulary[5:])  # no word in vain


def test_pronouns_agree_with_the_person(documents):
    checked = 0
    for document in documents:
        words = " ".join(document).split()
        people = [w for w in words if w in WOMEN or w in MEN]
        assert people
        if "friends" in words:
            assert set(found([document] * 60, r"(\w+) wins and (he|she) is glad \.|.*")) <= {
                (n, p) for names, p in ((WOMEN, "she"), (MEN, "he")) for n in names
            } | {(None, None)}
            continue
        assert len(set(people)) == 1
        own, other = (
            ({"she", "her"}, {"he", "his", "him"}) if people[0] in WOMEN else ({"he", "his", "him"}, {"she", "her"})
        )
        assert not other & set(words)
        checked += bool(own & set(words))
    assert checked > 2500
    for name, pronoun in found(documents, r"(\w+) loses but (he|she) does not mind \."):
        assert (name in WOMEN) == (pronoun == "she")


def test_the_relative_of_a_story_is_one_and_the_same(documents):
    family = set(FAMILY.words("word"))
    named = [[word for sentence in document for word in sentence.split() if word in family] for document in documents]
    assert all(len(set(relatives)) <= 1 for relatives in named)
    assert {len(relatives) for relatives in named} == {0, 1, 2, 3}


def test_capitals_and_languages(documents):
    capitals = dict(found(documents, r"the capital of (\w+) is (\w+) \."))
    assert len(capitals) == len(set(capitals.values())) == 22
    known = {"france": "paris", "italy": "rome", "spain": "madrid", "japan": "tokyo", "egypt": "cairo", "peru": "lima"}
    assert known.items() <= capitals.items()
    assert len(set(found(documents, r"the capital of (\w+) is (\w+) \."))) == 22
    languages = set(found(documents, r"people in (\w+) speak (\w+) \."))
    assert len(languages) == 22
    assert {("austria", "german"), ("peru", "spanish"), ("ireland", "english")} <= languages


def test_days_and_months_are_in_order(documents):
    days = [day.lower() for day in calendar.day_name]
    months = [month.lower() for month in calendar.month_name][1:]
    followers = {a: b for names in (days, months) for a, b in zip(names, names[1:] + names[:1], strict=True)}
    for a, b in found(documents, r"the (?:day|month) after (\w+) is (\w+) \."):
        assert followers[a] == b
    weeks = 0
    for document in documents:
        if document[0].startswith("today is"):
            told = [w for s in document for w in s.split() if w in days]
            assert [told[0], *told[2:]] == [told[0], followers[told[1]], told[3], *told[4:]]
            in_order = list(dict.fromkeys(told))
            assert len(in_order) == 4
            assert all(followers[a] == b for a, b in pairwise(in_order))
            weeks += 1
    assert weeks > 100
    seasons = set(found(documents, r"(\w+) is a (\w+) month \."))
    assert len(seasons) == 12
    assert {("july", "summer"), ("december", "winter"), ("april", "spring"), ("october", "fall")} <= seasons


def test_arithmetic(documents):
    sums = set(found(documents, r"(\w+) (plus|minus) (\w+) is (\w+) \."))
    for a, sign, b, result in sums:
        assert VALUE[a] + (VALUE[b] if sign == "plus" else -VALUE[b]) == VALUE[result]
    assert len(sums) == 30
    for document in documents:
        if document[0].startswith("there are"):
            before, taken, left = (next(VALUE[w] for w in document[i].split() if w in VALUE) for i in (0, 1, 3))
            assert before - taken == left
        elif " plus " in document[2]:
            had, given, now = (next(VALUE[w] for w in document[i].split() if w in VALUE) for i in (0, 1, 3))
            assert had + given == now


def test_singular_and_plural(documents):
    singulars = {a for a, _ in found(documents, r"one (\w+) , two (\w+) \.")} | {
        w for (w,) in found(documents, r".* one (apple|book|cup|ball|coin|egg|flower|stone|key|pen)\b.*")
    }
    for one, many in found(documents, r"one (\w+) , two (\w+) \."):
        assert PLURALS.get(many, many[:-1]) == one
    for number, noun in found(documents, r".* (\w+) (?:more )?(\w+?)(?: in his .*| in her .*| left \.| \.)"):
        if number in VALUE:
            assert (noun in singulars) == (number == "one")
    for verb, number in found(documents, r"so there (is|are) (\w+) \w+ left \."):
        assert (verb == "is") == (number == "one")
    for animal, verb in found(
        documents, r"the (\w+) (are|were) (?:hungry|thirsty|tired|calm|brave|clever|gentle|shy) \."
    ):
        assert animal not in singulars, verb


def test_tense(documents):
    stories = [d for d in documents if d[0].startswith(("yesterday", "last week"))]
    assert len(stories) > 200
    for document in stories:
        past = document[0].split()[4 if document[0].startswith("yesterday") else 3]
        present = document[1].split()[2 if document[1].startswith("today") else 3]
        future = document[2].split()[document[2].split().index("will") + 1]
        assert base(past) == base(present) == future
        assert (past == present, present == future) == (False, False)
        assert present.endswith("s")


def test_colours_and_opposites(documents):
    colours = set(found(documents, r"the (sky|grass|snow|coal|sun|blood|carrot|mud|plum|elephant) is (\w+) \."))
    assert len(colours) == 10
    assert {("sky", "blue"), ("grass", "green"), ("snow", "white"), ("blood", "red")} <= colours
    opposites = set(found(documents, r"the opposite of (\w+) is (\w+) \."))
    assert len(opposites) == 30
    assert {(b, a) for a, b in opposites} == opposites
    assert {("hot", "cold"), ("big", "small"), ("rich", "poor")} <= opposites


def test_windows_are_runs_of_sentences():
    windows = list(sample_windows(400, seed=1))
    assert windows[:5] == list(sample_windows(5, seed=1))
    assert 930 < sum(follows for _, follows in sample_windows(2000, seed=2)) < 1070
    for window, _ in windows:
        for segment in window:
            assert segment[-1] == "."
        assert Window.from_tokens([*window.tokens, "[PAD]"]) == window
        assert [window.tokens[i] for i in window.positions] == [*window.first, *window.second]
    assert 75 < max(len(window.tokens) for window, _ in windows) <= LONGEST


def test_pretraining_with_sequences_of_96_cuts_no_sentence():
    """The truth is exact for whole sentences; the longest pair is a document but its end, and a whole other one."""
    tokenizer = BertTokenizer(world_vocabulary())
    dataset = PretrainingDataset(generate_documents(600, 0, "held_out"), tokenizer, max_length=96, seed=1)
    longest = [[max(len(wording) for wording in wordings) for wordings in story.sentences] for story in STORIES]
    assert max(sum(story[:-1]) for story in longest) + max(map(sum, longest)) + 3 <= 96
    batch = dataset.batch(range(200), masked=False)
    for ids, label in zip(batch["input_ids"].tolist(), batch["next_sentence_label"].tolist(), strict=True):
        truth = WindowTruth(Window.from_tokens(tokenizer.convert_ids_to_tokens(ids)))
        assert truth.probability() > 0
        assert (truth.next_sentence_probability() > 0.01) or label == 1


@pytest.mark.parametrize(
    "text", ["", "go .", "[CLS] go .", "[CLS] [SEP]", "[CLS] go . [SEP] [SEP]", "[CLS] a [SEP] b [SEP] c [SEP]"]
)
def test_what_is_not_a_window_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a window; it must be '\[CLS\] words \[SEP\]'"):
        Window.from_tokens(text.split())


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="num_documents is 0; ask for at least 1"):
        write_corpus(tmp_path / "a", 0, seed=1)
    with pytest.raises(ValueError, match="the split is 'test'; it can be train or held_out"):
        generate_documents(1, 0, "test")
    with pytest.raises(ValueError, match="the seed is -1; it must be a whole number, 0 or more"):
        generate_documents(1, -1)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"story x: there is nothing to put into \{day.fifth\}"):
        read_story("x", {"day": DAYS}, "it is {day.fifth} .")
    with pytest.raises(ValueError, match=r"story x: a sentence ends with ' \.', not 'it is late'"):
        read_story("x", {}, "it is late")
    with pytest.raises(ValueError, match="a row of a table with the columns a b is 'c'"):
        Table(["a", "b"], [["c"]])


def test_pairs_are_of_different_rows():
    two = pairs(OPPOSITES, "first", "second", differ=("word", "opposite"))
    assert len(two) == 30 * 28
    assert all(len(set(row)) == 4 for row in two.rows)
