# %% [markdown]
# # 1. Text to ids
#
# A neural network computes with numbers. BERT reads a text as a row of integers, each the number of a *piece* of a
# word. This tutorial goes the whole way from a string to those integers, and back.
#
# **What you will do.** Cut a text into words, words into pieces, pieces into ids, first with a few lines of your own,
# then with the package. Learn a small vocabulary from a text. Build what the model receives: ids, segments, mask.
#
# **What you will learn.** Why BERT reads pieces and not words or letters. What greedy longest match is, and where it
# fails. What `[CLS]`, `[SEP]`, `[PAD]` and `[UNK]` are for. What is lost on the way.
#
# **What you need.** Python; no earlier tutorial. About 20 minutes.

# %%
import random
import unicodedata
from collections import Counter
from itertools import pairwise

from bert_numpy import BertTokenizer, train_wordpiece
from bert_numpy.data.world import generate_documents
from bert_numpy.tokenization.basic import BasicTokenizer
from bert_numpy.tokenization.wordpiece import WordPiece
from bert_numpy.visualization import draw_inputs, new_figure

# %% [markdown]
# ## 1. Words, letters, or something between
#
# The model has a table with one row of numbers for each symbol that it can read (tutorial 2). What should a symbol be?
#
# * **Words.** Then *play*, *plays* and *playing* are three rows that know nothing of each other, the table has to hold
#   every word of the language, and a word that nobody put there cannot be read at all.
# * **Letters.** Nothing is unreadable, and the table is tiny. But sequences are several times as long, the cost of
#   attention grows with the square of the length (tutorial 5), and the row of *p* says nothing.
# * **Pieces.** Frequent words have a row; rare ones are put together from parts: `play ##ing`. The table has a size
#   that we choose, 30,522 rows in the English BERT.
#
# The two marks `##` say: this piece continues a word. So `##ing` (an ending) and `ing` (the beginning of a word) are
# two different symbols.
#
# ## 2. From text to words
#
# Before any vocabulary is asked, the text is made plain and cut into words. For the model that does not distinguish
# capitals:
#
# 1. lower-case every letter,
# 2. take off accents: write each letter as a base letter and marks (the Unicode form NFD), then drop the marks,
# 3. cut at white space, and around each punctuation character.
#
# That is four lines:


# %%
def words_of(text):
    """Lower-case, strip the accents, cut at white space and around punctuation."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    plain = "".join(char for char in decomposed if unicodedata.category(char) != "Mn")
    spaced = "".join(char if char.isalnum() or char.isspace() else f" {char} " for char in plain)
    return spaced.split()


print(words_of("Is the Café open? She's naïve!"))

# %% [markdown]
# The package does the same, on more than four lines: there are control characters to drop, white space that Python does
# not count as such, Chinese characters that become words of their own (Chinese is written without spaces), and a
# position to remember for each letter. On ordinary text the two agree:

# %%
basic = BasicTokenizer()
texts = ["Is the Café open?", "e-mail: me@home.org", "ÀÉÎÕÜ straße Ångström", "1,000.50 $ (or so...)"]
for text in texts:
    assert words_of(text) == basic.tokenize(text)
    print(basic.tokenize(text))

# %% [markdown]
# And here they do not. Our line asks whether a character is a letter or a digit: a Chinese character counts as one, and
# a zero-width space as neither, although it only directs the layout and should vanish.
# `bert_numpy/tokenization/basic.py` names each rule. (Both drop the mark that makes か a が: an accent to Unicode. This
# too is what BERT does.)

# %%
for text in ["猫が好き", "zero\u200bwidth"]:
    print(words_of(text), "but", basic.tokenize(text))
    assert words_of(text) != basic.tokenize(text)

# %% [markdown]
# ## 3. From words to pieces: greedy longest match
#
# Here is a vocabulary. The position of a token in the list is its id.

# %%
vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
vocabulary += ["the", "dog", "play", "run", "un"]
vocabulary += ["##s", "##ing", "##ed", "##aff", "##able", "##ning", ".", "?"]
id_of = {token: number for number, token in enumerate(vocabulary)}
print(id_of)

# %% [markdown]
# To cut a word, WordPiece goes from left to right. At each place it takes the *longest* piece that the vocabulary
# knows. The first piece is looked up as it is, each later one behind `##`. If at some place nothing fits, not even one
# letter, the whole word becomes `[UNK]`, unknown.


# %%
def pieces_of(word, vocabulary):
    """Greedy longest match: a list of pieces, or ["[UNK]"]."""
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):  # the longest first
            if prefix + word[start:end] in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


for word in ["dog", "dogs", "playing", "running", "unaffable", "unaffordable"]:
    print(f"{word:13} {pieces_of(word, id_of)}")

# %% [markdown]
# Read the last two lines again. `unaffable` is three pieces. `unaffordable` begins the same way, but nothing in this
# vocabulary fits at *ordable*, so that the two pieces found so far are thrown away.
#
# The class of the package is `WordPiece`. It returns the id and the place of each piece. Is it the same function as
# ours? Let both cut some thousands of random words, and compare:

# %%
wordpiece = WordPiece(id_of)
rng = random.Random(1)
parts = [token.removeprefix("##") for token in vocabulary[5:]] + list("abs")
words = ["".join(rng.choices(parts, k=rng.randint(1, 5))) for _ in range(5000)]
known = 0
for word in words:
    theirs = [vocabulary[piece_id] for piece_id, start, end in wordpiece.split(word)]
    assert theirs == pieces_of(word, id_of)
    known += theirs != ["[UNK]"]
print(f"{len(words)} words cut alike; {known} of them are not [UNK]")
assert 100 < known < 4900

# %% [markdown]
# ### Greedy is not best
#
# Greedy means: never take a step back. So it can miss a way to cut a word that exists. With these three pieces, `abc`
# could be `a ##bc`; but the longest beginning is `ab`, and then `##c` is not there:

# %%
small = {"[UNK]": 0, "a": 1, "ab": 2, "##bc": 3}
print(pieces_of("abc", small), "and the package:", WordPiece(small).split("abc"))
assert pieces_of("abc", small) == ["[UNK]"]

# %% [markdown]
# Nobody repairs this, for two reasons. A published model was trained with exactly these cuts: a better cut would be a
# sequence that the model has never seen. And real vocabularies hold every letter as a piece, so that only words with a
# foreign letter become `[UNK]`.
#
# ## 4. Where the pieces come from
#
# A vocabulary is learned from text. Start with every word cut into letters. Count all pairs of neighbours. Join the
# best pair into a new piece, everywhere. Repeat, until the vocabulary is as large as you like. "Best" has two
# definitions. With $n(\cdot)$ for how often something occurs,
#
# $$
# \text{frequency: } \; n(ab) \qquad\qquad \text{likelihood: } \; \frac{n(ab)}{n(a)\, n(b)}
# $$
#
# The first joins what is often together. The second, which is the idea of the original WordPiece, asks how many times
# *more often* the two are together than chance would bring them: it joins what is seldom apart. One round by hand:

# %%
text = "king king kin sing sing quiz quiz"
counts = Counter(text.split())
letters = {word: [word[0], *("##" + char for char in word[1:])] for word in counts}
single, pairs = Counter(), Counter()
for word, count in counts.items():
    for piece in letters[word]:
        single[piece] += count
    for pair in pairwise(letters[word]):
        pairs[pair] += count

print("pair              n(ab)   n(ab) / (n(a) n(b))")
for (a, b), count in pairs.most_common():
    print(f"{a:6} {b:6} {count:9} {count / (single[a] * single[b]):12.3f}")

# %% [markdown]
# By frequency `##i ##n` wins. By likelihood `q ##u` does: *q* is followed by *u* and by nothing else. `train_wordpiece`
# knows both definitions and makes the same first choice:

# %%
scores = {
    "frequency": {(a, b): count for (a, b), count in pairs.items()},
    "likelihood": {(a, b): count / (single[a] * single[b]) for (a, b), count in pairs.items()},
}
for algorithm, score in scores.items():
    learned = train_wordpiece([text], 100, special_tokens=["[UNK]"], algorithm=algorithm)
    joined = [token for token in learned[1:] if len(token.removeprefix("##")) > 1]  # no letters
    print(f"{algorithm:11}", joined)
    best = max(score, key=score.get)
    assert joined[0] == best[0] + best[1].removeprefix("##")

# %% [markdown]
# ### How large should a vocabulary be?
#
# A larger table means shorter sequences. Let us measure it. The package has a generator of small stories (tutorial 10
# trains a BERT on them). We learn vocabularies of several sizes from some hundred stories and count the pieces that a
# word of *other* stories takes.

# %%
train_text = [line for story in generate_documents(400, seed=0) for line in story]
other_text = [line for story in generate_documents(100, seed=0, split="held_out") for line in story]
print(train_text[0])

sizes, pieces_per_word, vocabularies = [70, 100, 150, 200, 300, 400, 500, 600], [], {}
words = [word for line in other_text for word in words_of(line)]
for size in sizes:
    vocabularies[size] = train_wordpiece(train_text, size)
    known = set(vocabularies[size])
    pieces_per_word.append(sum(len(pieces_of(word, known)) for word in words) / len(words))
    print(f"{size} tokens: {pieces_per_word[-1]:.2f} pieces a word")

assert all(more > less for more, less in pairwise(pieces_per_word))  # a larger vocabulary, fewer pieces
print(pieces_of("wednesday", set(vocabularies[150])), pieces_of("wednesday", set(vocabularies[600])))

# %%
figure = new_figure(3.6)
axes = figure.add_subplot()
axes.plot(sizes, pieces_per_word, marker="o", color="#0072B2")
axes.axhline(1, color="#57606a", linestyle="--", linewidth=1)
axes.text(80, 1.04, "every word whole", color="#57606a")
axes.set(xlabel="tokens in the vocabulary", ylabel="pieces a word", ylim=(0.8, None))
axes.set_title("A larger vocabulary makes shorter sequences")
axes.grid(color="#d0d7de", linewidth=0.6)
figure

# %% [markdown]
# The first pieces save most. Then each further piece is for a rarer word, and its row in the table is trained less
# often. About 30,000 is the compromise that BERT's authors made for English.
#
# ## 5. What the model receives
#
# BERT reads one text or two. Around them stand *special tokens*:
#
# `[CLS]` first text `[SEP]` or `[CLS]` first text `[SEP]` second text `[SEP]`
#
# `[CLS]` is a place without a word, where the model can gather what it knows of the whole (tutorials 8 and 11 use it).
# `[SEP]` ends a text. Besides the ids the model gets the **segment** of each token (`token_type_ids`): 0 up to the
# first `[SEP]`, 1 behind it. And since a batch is a rectangle, short sequences are filled up with `[PAD]`; the **mask**
# (`attention_mask`) is 1 for tokens and 0 for padding.


# %%
def encode(first, second=None):
    """Ids and segments of one text or two."""
    ids, segments = [id_of["[CLS]"]], [0]
    for segment, text in enumerate([first] if second is None else [first, second]):
        tokens = [piece for word in words_of(text) for piece in pieces_of(word, id_of)] + ["[SEP]"]
        ids += [id_of[token] for token in tokens]
        segments += [segment] * len(tokens)
    return ids, segments


def pad(rows, length, filling):
    return [row + [filling] * (length - len(row)) for row in rows]


samples = [("The dogs run.", "Playing?"), ("Unaffable!", "Run.")]
encoded = [encode(*sample) for sample in samples]
longest = max(len(ids) for ids, _ in encoded)
by_hand = {
    "input_ids": pad([ids for ids, _ in encoded], longest, id_of["[PAD]"]),
    "token_type_ids": pad([segments for _, segments in encoded], longest, 0),
    "attention_mask": pad([[1] * len(ids) for ids, _ in encoded], longest, 0),
}
for name, rows in by_hand.items():
    print(name, *rows, sep="\n    ")

# %% [markdown]
# `BertTokenizer` is all of this in one call. The tests of the package compare it with the field's reference library on
# random Unicode: the two give the same, but for characters that the library knows from an older table.

# %%
tokenizer = BertTokenizer(vocabulary)
batch = tokenizer(samples, padding=True)
assert dict(batch) == by_hand
print("the same three arrays:", dict(batch) == by_hand)

# %%
tokens = [batch.tokens(0), batch.tokens(1)]
figure = draw_inputs(tokens, batch, title="Two pairs of texts as the model receives them")
figure

# %% [markdown]
# Blue is the first segment, orange the second, grey the padding. The `!` is not in our vocabulary: `[UNK]`.
#
# ## 6. When a text is too long
#
# The table of positions (tutorial 2) has an end: 512 for the published models. A longer pair is cut, and by default
# from the end of whichever text is longer at that moment, one piece after the other:


# %%
def cut(first, second, room):
    """Drop pieces from the end of the longer text, or of the second, until both fit."""
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()
    return first, second


long = "the dog runs. " * 4, "the dogs are playing"
pieces = [tokenizer.tokenize(text) for text in long]
print("pieces:", [len(text) for text in pieces])
for max_length in range(6, 26):
    first, second = cut(*pieces, max_length - 3)  # room for [CLS], [SEP], [SEP]
    expected = ["[CLS]", *first, "[SEP]", *second, "[SEP]"]
    assert tokenizer(*long, truncation=True, max_length=max_length).tokens() == expected
print("cut as the package cuts, at 20 lengths; at length 15:", [len(text) for text in cut(*pieces, 12)])

# %% [markdown]
# ## 7. And back
#
# Each piece knows where in the text it came from: its *offset*, the range of characters. That is how the answer to a
# question can be marked in the original text (tutorial 11), although the model has seen lower-case pieces only.

# %%
text = "The Dogs: PLAYING."
encoding = tokenizer(text, return_offsets_mapping=True)
for token, (start, end) in zip(encoding.tokens(), encoding["offset_mapping"], strict=True):
    print(f"{token:7} characters {start:2} to {end:2}  {text[start:end]!r}")
    if token not in ("[CLS]", "[SEP]", "[UNK]"):
        assert text[start:end].lower() == token.removeprefix("##")

# %% [markdown]
# The ids alone do not hold the text. Capitals, accents, white space and everything unknown are gone, and `decode` can
# only guess the spaces:

# %%
for text in ["The  DÖG", "the dog", "the\ndog"]:
    ids, _ = encode(text)
    print(repr(text), "->", ids, "->", repr(tokenizer.decode(ids, skip_special_tokens=True)))
    assert encode(text) == encode("the dog")

# %% [markdown]
# So the model cannot answer anything that needs capitals (is *Rose* a name?). For such tasks there are cased models,
# whose vocabulary keeps capitals and accents: `do_lower_case=False`.
#
# ## On your own
#
# 1. `pieces_of` looks up `len(word) - start` strings in the worst case at each place. How many look-ups is that for a
#    word of $n$ letters that ends as `[UNK]` at its last letter? (The class has a limit, `max_input_chars_per_word`.
#    Why?)
# 2. Write `best_pieces_of`, which finds a cut with the fewest pieces if there is any, by dynamic programming from the
#    left. How many of the 5000 random words of section 3 does it save from `[UNK]`?
# 3. Learn vocabularies of 200 tokens by "likelihood" and by "frequency" from `train_text`. Which has endings such as
#    `##ing`? Which makes shorter sequences of `other_text`?
# 4. Give `encode` a literal `[MASK]` in the text. What should happen, and what does `BertTokenizer` do? See
#    `split_special_tokens`, and think of a text that a stranger wrote.
#
# **Exercises.** `bert-numpy exercises` cuts stubs out of the package and checks what you fill in; to this tutorial
# belong `BasicTokenizer.words`, `WordPiece.split`, `learn_pieces`, `TokenVocabulary.build_inputs_with_special_tokens`,
# `lengths_that_fit` and `pad_columns`.
#
# ## Further reading
#
# * Wu et al. 2016, *Google's Neural Machine Translation System*, arXiv 1609.08144, section 4.1: the word pieces.
# * Schuster and Nakajima 2012, *Japanese and Korean Voice Search*: where they come from.
# * Devlin et al. 2018, *BERT*, arXiv 1810.04805, section 3, "Input/Output Representations".
# * In this package: `bert_numpy/tokenization/`, in the order that its `__init__.py` gives; then tutorial 2.
