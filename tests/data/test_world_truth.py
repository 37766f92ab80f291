"""The true distribution against enumeration of a tiny world, against frequencies in the real one, and by reasoning."""

import itertools
import math
import random
from collections import Counter, defaultdict
from fractions import Fraction

import pytest

from bert_numpy.data.world import Window, WindowTruth, measure, sample_windows, true_distribution
from bert_numpy.data.world.corpus import _segments
from bert_numpy.data.world.stories import STORIES, Slot, read_story
from bert_numpy.data.world.tables import Table

# A world so small that all its windows can be written down.  Its sentences are confusable on purpose: across stories,
# across places in a story, across wordings of different length; and one word comes from different tables.
WHO = Table(("name", "she"), [("ann", "she"), ("bea", "she"), ("tom", "he")])
WHAT = Table(("one", "many"), [("cat", "cats"), ("tom", "toms")])
TINY = (
    read_story(
        "a",
        {"who": WHO, "what": WHAT},
        """
        {who.name} runs . | {who.name} has {what.many} . | {who.name} sees {what.many} .
        {who.she} runs .
        {who.name} runs .
        """,
    ),
    read_story("b", {"x": WHO, "y": WHO}, "{x.name} runs .\n{y.she} runs . | so {y.name} runs . {x.name} runs ."),
    read_story("c", {"what": WHAT}, "{what.one} runs .\n{what.one} has {what.many} ."),
)


def all_documents(story):
    """Every document of a story with its probability, by brute force."""
    variables = list(story.variables)
    for rows in itertools.product(*(range(len(story.variables[v])) for v in variables)):
        for wordings in itertools.product(*story.sentences):
            sentences = tuple(
                tuple(
                    story.variables[item.variable].rows[rows[variables.index(item.variable)]][
                        story.variables[item.variable].columns.index(item.column)
                    ]
                    if isinstance(item, Slot)
                    else item
                    for item in wording
                )
                for wording in wordings
            )
            share = Fraction(1, math.prod(len(story.variables[v]) for v in variables))
            yield sentences, share / math.prod(len(w) for w in story.sentences)


def all_runs(cuts):
    """The probability of every tuple of consecutive runs between `cuts` boundaries."""
    runs = defaultdict(Fraction)
    for story in TINY:
        for sentences, share in all_documents(story):
            chosen = list(itertools.combinations(range(len(sentences) + 1), cuts))
            for bounds in chosen:
                texts = tuple(sum(sentences[a:b], ()) for a, b in itertools.pairwise(bounds))
                runs[texts] += share / len(chosen) / len(TINY)
    return runs


@pytest.fixture(scope="module")
def single():
    return {Window(*texts): share for texts, share in all_runs(2).items()}


@pytest.fixture(scope="module")
def double(single):
    """Every window of two segments: (probability, part of it in which the second follows)."""
    following = {Window(*texts): share / 2 for texts, share in all_runs(3).items()}
    windows = {Window(a.first, b.first): p * q / 2 for a, p in single.items() for b, q in single.items()}
    for window, share in following.items():
        windows[window] = windows.get(window, 0) + share
    return {window: (share, following.get(window, Fraction(0))) for window, share in windows.items()}


def conditional(table, window, position, hidden=()):
    """p(word | rest), by adding up the windows that agree everywhere else (but at the hidden positions)."""
    scores = defaultdict(Fraction)
    tokens = window.tokens
    for other, share in table.items():
        theirs = other.tokens
        if len(theirs) == len(tokens) and all(
            i == position or i in hidden or a == b for i, (a, b) in enumerate(zip(tokens, theirs, strict=True))
        ):
            scores[theirs[position]] += share
    total = sum(scores.values())
    return {word: float(score / total) for word, score in scores.items()}


def test_the_tiny_world_is_complete_and_confusable(single, double):
    assert sum(single.values()) == 1
    assert sum(share for share, _ in double.values()) == 1
    ambiguous = [w for w in double if len({r.story.name for _, r in WindowTruth(w, TINY)._runs[0]}) > 1]
    assert len(ambiguous) > 1000


def test_probabilities_of_all_windows_are_those_of_enumeration(single, double):
    for window, share in single.items():
        assert WindowTruth(window, TINY).probability() == pytest.approx(float(share), rel=1e-12)
    for window, (share, following) in random.Random(1).sample(sorted(double.items()), 1500):
        truth = WindowTruth(window, TINY)
        assert truth.probability() == pytest.approx(float(share), rel=1e-12)
        assert truth.next_sentence_probability() == pytest.approx(float(following / share), rel=1e-12)


def test_distributions_in_windows_of_one_segment_are_those_of_enumeration(single):
    for window in single:
        truth = WindowTruth(window, TINY)
        for position in window.positions:
            assert truth.distribution(position) == pytest.approx(conditional(single, window, position), rel=1e-12)


def test_distributions_in_windows_of_two_segments_are_those_of_enumeration(double):
    table = {window: share for window, (share, _) in double.items()}
    contexts = defaultdict(lambda: defaultdict(Fraction))
    for window, share in table.items():
        for position in window.positions:
            tokens = window.tokens
            contexts[(*tokens[:position], None, *tokens[position + 1 :])][tokens[position]] += share
    rng = random.Random(2)
    following = [window for window, (_, part) in double.items() if part]
    for window in [*rng.sample(sorted(table), 150), *following]:
        truth = WindowTruth(window, TINY)
        tokens = window.tokens
        for position, probability in zip(window.positions, truth.word_probabilities(), strict=True):
            scores = contexts[(*tokens[:position], None, *tokens[position + 1 :])]
            total = sum(scores.values())
            expected = {word: float(score / total) for word, score in scores.items()}
            assert truth.distribution(position) == pytest.approx(expected, rel=1e-12)
            assert probability == pytest.approx(expected[tokens[position]], rel=1e-12)


def test_words_that_are_masked_elsewhere_are_summed_over(single, double):
    rng = random.Random(3)
    table = {window: share for window, (share, _) in double.items()}
    for windows, n in ((single, len(single)), (table, 12)):
        for window in rng.sample(sorted(windows), n):
            position, *hidden = rng.sample(window.positions, min(3, len(window.positions)))
            tokens = ["[MASK]" if i in hidden else token for i, token in enumerate(window.tokens)]
            truth = WindowTruth(Window.from_tokens(tokens), TINY)
            assert truth.distribution(position) == pytest.approx(
                conditional(windows, window, position, hidden), rel=1e-12
            )


def test_other_boundaries_are_taken_into_account(single):
    def first_sentence_only(num_sentences, boundaries):
        return float(boundaries == (0, 1))

    truth = WindowTruth(Window.of("tom [MASK] ."), TINY, cut=first_sentence_only)
    assert truth.distribution(2) == {"runs": 1.0}
    # story a: 1/3 * 1/3 * 1/3; story b: 1/3 * 1/3; story c: 1/3 * 1/2
    whole = WindowTruth(Window.of("tom runs ."), TINY, cut=first_sentence_only)
    assert whole.probability() == pytest.approx(1 / 27 + 1 / 9 + 1 / 6, rel=1e-12)


@pytest.fixture(scope="module")
def windows():
    return list(sample_windows(700, seed=5))


@pytest.fixture(scope="module")
def truths(windows):
    return [(window, follows, WindowTruth(window)) for window, follows in windows]


@pytest.fixture(scope="module")
def distributions(truths):
    return [(window.tokens[i], truth.distribution(i)) for window, _, truth in truths for i in window.positions]


def test_probabilities_add_up_to_one_and_the_true_word_is_possible(distributions):
    assert len(distributions) > 20000
    for word, distribution in distributions:
        assert math.fsum(distribution.values()) == pytest.approx(1, rel=1e-12)
        assert distribution[word] > 0


def test_the_real_world_has_the_frequencies_that_the_truth_says(distributions):
    """Of all words to which the truth gives about p, the share p must be the ones that stand there."""
    bounds = [0, 0.02, 0.04, 0.07, 0.12, 0.2, 0.4, 0.98]
    expected, hits, variance, count = ([0.0] * len(bounds) for _ in range(4))
    for word, distribution in distributions:
        for candidate, p in distribution.items():
            i = max(k for k, bound in enumerate(bounds) if p > bound)
            expected[i] += p
            hits[i] += candidate == word
            variance[i] += p * (1 - p)
            count[i] += 1
    for i in range(1, len(bounds) - 1):
        assert count[i] > 300
        assert abs(hits[i] - expected[i]) < 4.5 * math.sqrt(variance[i]), (bounds[i], hits[i], expected[i])
    assert abs(hits[-1] - expected[-1]) < 3 + 4.5 * math.sqrt(variance[-1])


def test_mean_surprisal_is_the_mean_entropy(distributions):
    """Only for the true distribution are the two equal; any other has more surprisal than entropy or less."""
    differences = [-math.log(d[word]) + math.fsum(p * math.log(p) for p in d.values()) for word, d in distributions]
    n = len(differences)
    mean = math.fsum(differences) / n
    error = math.sqrt(math.fsum(x * x for x in differences) / n / n)
    assert abs(mean) < 4 * error < 0.02


def test_next_sentence_probabilities_are_those_of_the_labels(truths):
    sure = [(truth.next_sentence_probability(), follows) for _, follows, truth in truths]
    assert abs(sum(p for p, _ in sure) - sum(follows for _, follows in sure)) < 5
    assert sum((p > 0.5) == follows for p, follows in sure) / len(sure) > 0.99


def test_frequent_contexts_have_the_distribution_of_their_words():
    """Windows of one segment, drawn until some contexts have come often: count what stood there."""
    rng = random.Random(9)
    contexts = defaultdict(Counter)
    for _ in range(40000):
        (words,) = _segments(rng, STORIES, 2)
        if len(words) < 8:
            for i, word in enumerate(words):
                contexts[(*words[:i], "[MASK]", *words[i + 1 :])][word] += 1
    frequent = [(context, counts) for context, counts in contexts.items() if counts.total() >= 25]
    uncertain = 0
    for context, counts in frequent:
        distribution = true_distribution(Window(context), 1 + context.index("[MASK]"))
        assert counts.keys() <= distribution.keys()
        n = counts.total()
        chi_square = sum((counts[w] - n * p) ** 2 / (n * p) for w, p in distribution.items())
        freedom = len(distribution) - 1
        assert chi_square <= freedom + 4.5 * math.sqrt(2 * freedom) + 4 * bool(freedom), (context, counts)
        uncertain += freedom > 0
    assert len(frequent) > 30
    assert uncertain > 10


def test_the_numbers_of_the_world_are_reproducible(windows):
    statistics = measure(window for window, _ in windows[:200])
    assert (statistics.windows, statistics.words) == (200, 6745)
    assert statistics.entropy == pytest.approx(0.357533444580306, rel=1e-12)
    assert statistics.surprisal == pytest.approx(0.35860326879206544, rel=1e-12)
    assert statistics.determined == pytest.approx(0.8378057820607858, rel=1e-12)
    assert statistics.next_sentence_accuracy == pytest.approx(0.9992432344975575, rel=1e-12)


def test_a_measure_that_can_be_done_by_hand():
    windows = [Window.of("the sky is blue ."), Window.of("the coal is black .", "anna was born in may .")]
    statistics = measure(windows)  # sea or sky, coal or ink, 32 names, 12 months; the second does not follow
    assert (statistics.windows, statistics.words) == (2, 16)
    assert statistics.entropy == pytest.approx((2 * math.log(2) + math.log(32) + math.log(12)) / 16, rel=1e-12)
    assert statistics.surprisal == pytest.approx(statistics.entropy, rel=1e-12)
    assert statistics.determined == 12 / 16
    assert statistics.next_sentence_accuracy == 1
    assert math.isnan(measure(windows[:1]).next_sentence_accuracy)


def test_how_windows_are_cut_hardly_matters(windows):
    """Pre-training cuts more often at the first sentence; the truth is nearly the same under such another law."""

    def early(num_sentences, boundaries):
        total = sum(1 / (1 + b[0]) for b in itertools.combinations(range(num_sentences + 1), len(boundaries)))
        return 1 / (1 + boundaries[0]) / total

    def surprisal(**law):
        values = [p for window, _ in windows[:100] for p in WindowTruth(window, **law).word_probabilities()]
        return -math.fsum(map(math.log, values)) / len(values)

    assert surprisal(cut=early) == pytest.approx(surprisal(), rel=1e-3)
    assert surprisal(cut=early) != surprisal()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the capital of france is [MASK] .", {"paris": 1}),
        ("the capital of [MASK] is paris .", {"france": 1}),
        ("the day after monday is [MASK] .", {"tuesday": 1}),
        ("the month after [MASK] is may .", {"april": 1}),
        ("two plus three is [MASK] .", {"five": 1}),
        ("six minus [MASK] is two .", {"four": 1}),
        ("the opposite of hot is [MASK] .", {"cold": 1}),
        ("the sky is [MASK] .", {"blue": 1}),
        ("the [MASK] is grey .", {"elephant": 1}),
        ("one mouse , two [MASK] .", {"mice": 1}),
        ("so there [MASK] one egg left .", {"is": 1}),
        ("people in [MASK] speak english .", {"england": 1 / 2, "ireland": 1 / 2}),
        ("today she walks to the park . tomorrow she will [MASK] to the bridge .", {"walk": 1}),
        ("today anna [MASK] to the park .", None),
    ],
)
def test_what_anyone_knows(text, expected):
    window = Window.of(text)
    position = window.tokens.index("[MASK]")
    if expected is None:
        with pytest.raises(ValueError, match=f"nothing can stand at position {position} of .*today anna"):
            true_distribution(window, position)
    else:
        assert true_distribution(window, position) == pytest.approx(expected, rel=1e-12)


def test_free_choices_are_uniform():
    window = Window.of("on sunday [MASK] plays the piano .")
    names = true_distribution(window, 3)
    assert len(names) == 32
    assert set(names.values()) == {1 / 32}
    assert true_distribution(Window.of("so there are two [MASK] left ."), 5)["eggs"] == pytest.approx(1 / 10)


def test_a_wrong_pronoun_is_impossible():
    right = Window.of(
        "maria paints the sky and the mud .", "the sky is blue . the mud is brown . she shows the picture to"
    )
    assert WindowTruth(right).probability() == 0  # cut within a sentence
    words = "maria has two eggs in her red bag . [MASK] brother gives her one more egg ."
    assert true_distribution(Window.of(words), 10) == {"her": 1.0}
    wrong = Window.of(words.replace("[MASK]", "his"))
    assert WindowTruth(wrong).probability() == 0
    assert WindowTruth(wrong).distribution(10) == {"her": 1.0}
    with pytest.raises(ValueError, match="nothing can stand at position 1 of"):
        WindowTruth(wrong).word_probabilities()


def test_the_person_is_carried_over_only_to_what_follows():
    told = "ruth was born in may . may is a spring month . the month after may is june ."
    follows = Window.of(told, "the birthday of [MASK] shy aunt is in june .")
    assert true_distribution(follows, follows.tokens.index("[MASK]"))["her"] > 0.99
    other = Window.of(told, "[MASK] was born in june .")
    names = true_distribution(other, other.tokens.index("[MASK]"))
    assert len(names) == 32
    assert max(names.values()) == pytest.approx(1 / 32)


def test_the_order_of_sentences_is_known():
    a, b = "peter reads the words hot and big .", "the opposite of hot is cold . the opposite of big is small ."
    assert WindowTruth(Window.of(a, b)).next_sentence_probability() > 0.999
    assert WindowTruth(Window.of(b, a)).next_sentence_probability() == 0


def test_what_cannot_be_asked_is_refused():
    truth = WindowTruth(Window.of("the sky is blue ."))
    for position in (0, 6, 7, -1):
        with pytest.raises(ValueError, match=f"position {position} is not that of a word; these are 1 to 5"):
            truth.distribution(position)
    with pytest.raises(ValueError, match="this window has no second segment"):
        truth.next_sentence_probability()
    with pytest.raises(ValueError, match=r"no document of the world contains .*purple sun"):
        WindowTruth(Window.of("the sky is blue .", "the purple sun .")).next_sentence_probability()
    with pytest.raises(ValueError, match="there is no window to measure"):
        measure([])
