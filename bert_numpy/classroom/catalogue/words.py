"""From text to words, and from words to pieces."""

from __future__ import annotations

import numpy as np

from ...tokenization.basic import BasicTokenizer
from ...tokenization.wordpiece import WordPiece
from ..exercise import Cases, Chapter, Exercise, Mistake

# Characters of category P among the inputs: of ASCII, which has $ + < = > ^ ` | ~ besides, and beyond it.
_ASCII_P, _OTHER_P = r"!-#%-*,-/:;?@\[-\]_{}", "—…¿。"
_ASCII = "_ASCII_PUNCTUATION"
_FINDITER = "word_pattern.finditer(normalized)"


def _chunks(rng: np.random.Generator) -> Cases:
    lower, cased = BasicTokenizer(), BasicTokenizer(do_lower_case=False)
    chunks = [
        "Naïve",
        "Playing",
        "co-op",
        "can't",
        "$5+^2",
        "wait...what?!",
        "¿Qué?",
        "co\u00adope\u0301ra",
        "—…",
        "\u200b",
    ]
    return [(lower, str(chunk)) for chunk in rng.permutation(chunks)] + [
        (cased, chunk) for chunk in ("Naïve", "Don't", "US", "É—É", "a>b")
    ]


def _texts(rng: np.random.Generator) -> Cases:
    texts = [
        "Naïve café: 中文!",
        "  Play-ing\tin the\u00a0rain...\n",
        "",
        "I paid $5+tax; she paid 东京 12%.",
        "\u200b \u00ad",
        "Zwei Straßen",
        "Wait—what… ¿No?",
    ]
    return [(BasicTokenizer(), str(text)) for text in rng.permutation(texts)] + [
        (BasicTokenizer(do_lower_case=False), "Don't STOP, Zoë 中文"),
        (BasicTokenizer(tokenize_chinese_chars=False), "In 东京 it rains"),
    ]


def _words(rng: np.random.Generator) -> Cases:
    pieces = ["[UNK]", "un", "##aff", "##able", "##a", "unaff", "able", "a", "##b", "##bl", "play", "##ing", "##s", "b"]
    vocab = {piece: i for i, piece in enumerate(rng.permutation(pieces).tolist())}
    words = ["unaffable", "unstable", "playings", "ablaable", "a", "", "ab" * 6, "playing" + "s" * 12, "ablb", "abx"]
    return [(WordPiece(vocab, max_input_chars_per_word=12), word) for word in words]


def _counts(rng: np.random.Generator) -> Cases:
    common, rare = ["king", "kin", "sing", "singing", "quiz", "banana", "nab"], ["zebu", "quag", "bazaar"]
    words = {word: int(rng.integers(3, 9)) for word in common} | dict.fromkeys(rare, 1)
    letters = sorted(set("".join(words)))
    tokens = ["[UNK]", *letters, *(f"##{letter}" for letter in letters)]
    n = len(tokens)
    return [
        (words, tokens, n + 9, "frequency", 2),
        (words, tokens, n + 9, "likelihood", 2),
        (words, tokens, 200, "frequency", 3),
        (words, tokens, n + 4, "likelihood", 1),
    ]


CHAPTER = Chapter(
    slug="words",
    title="From text to pieces of words",
    about="A text falls into words, at white space and around each punctuation mark, and a word into pieces that the "
    "vocabulary knows, so that 30,000 of them spell any word.  Where everything came from is kept: an answer is cut "
    "out of the text as it was written.  Tutorial 1 cuts some words by hand.",
    exercises=(
        Exercise(
            target="bert_numpy.tokenization.basic:BasicTokenizer.words",
            title="Words of a chunk, and their places",
            points=5,
            minutes=15,
            tutorial=1,
            inputs=_chunks,
            notes="A chunk is a stretch of text without white space.  `self.normalize(chunk)` is given: it returns the "
            "chunk without control characters and, as the settings say, without accents and in lower case; and for "
            "each of these characters its place in the chunk.  The last of the three things that `_categories()` "
            "returns is a compiled pattern that finds words: runs without punctuation, and single punctuation "
            "characters.  Return a list of (word, places).",
            hints=(
                "Normalize first, cut afterwards.  A match of a pattern knows its text and where it starts and ends.",
                "`pattern.finditer(text)` gives the matches in order.  They count in the normalized text; `sources` "
                "says what that is in the chunk.",
                "For each match: its text, and the part of the sources from its start to its end.",
            ),
            mistakes=(
                Mistake(
                    "the pattern on the chunk",
                    _FINDITER,
                    "word_pattern.finditer(chunk)",
                    "The pattern runs over the chunk as it is, and the places are looked up as if it had run over the "
                    "normalized text.  Accents, capitals or invisible characters are still there.",
                ),
                Mistake(
                    "places in the normalized text",
                    "sources[m.start() : m.end()]",
                    "range(m.start(), m.end())",
                    "The places count in the normalized text.  Where a character vanished, everything behind it is "
                    "off; the second thing that `normalize` returns leads back.",
                ),
                Mistake(
                    "marks of punctuation kept together",
                    _FINDITER,
                    f're.finditer(rf"[^{{{_ASCII}}}{_OTHER_P}]+|[{{{_ASCII}}}{_OTHER_P}]+", normalized)',
                    '"..." and "?!" come out as one word.  Each punctuation character is a word of its own.',
                ),
                Mistake(
                    "punctuation lost",
                    _FINDITER,
                    f"{_FINDITER} if m[0].isalnum()",
                    "Punctuation characters are missing.  They end a word and are words themselves.",
                ),
                Mistake(
                    "only what Unicode calls punctuation",
                    _FINDITER,
                    f're.finditer(r"[^{_ASCII_P}{_OTHER_P}]+|[{_ASCII_P}{_OTHER_P}]", normalized)',
                    "$, +, <, =, >, ^, ` and ~ are not cut off.  Unicode calls them symbols, but BERT counts every "
                    "ASCII character as punctuation that is neither letter nor digit.",
                ),
                Mistake(
                    "always in lower case",
                    "chunk.lower() if self.do_lower_case else chunk",
                    "chunk.lower()",
                    "Words are lower-cased although the tokenizer is a cased one.  `normalize` does what the settings "
                    "say; nothing more is to be done.",
                    also=(
                        (
                            "normalized, sources = self.normalize(chunk)",
                            "normalized, sources = self.normalize(chunk)\n        normalized = normalized.lower()",
                        ),
                    ),
                ),
                Mistake(
                    "not normalized",
                    "normalized, sources = self.normalize(chunk)",
                    "normalized, sources = chunk, range(len(chunk))",
                    "The words are cut from the chunk as it is: accents, capitals or invisible characters are still "
                    "there.",
                    also=(("chunk.lower() if self.do_lower_case else chunk", "chunk"),),
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.tokenization.basic:BasicTokenizer.tokenize",
            title="Words of a text",
            points=2,
            minutes=5,
            needs=("BasicTokenizer.words",),
            tutorial=1,
            inputs=_texts,
            notes="`self.chunk_pattern` is given: a compiled pattern whose matches are the chunks of a text, from left "
            "to right; a Han character is a chunk of its own, if the settings say so.",
            hints=(
                "Two steps that are there already: chunks of the text, words of a chunk.",
                "`pattern.findall(text)` is the list of the matches.  `self.words` returns pairs; which half is "
                "wanted?",
                "Two loops, chunks outside and their words inside; collect the first of each pair in one flat list.",
            ),
            mistakes=(
                Mistake(
                    "split at white space only",
                    "self.chunk_pattern.findall(text)",
                    "text.split()",
                    "Chunks are what stands between white space.  Han characters then stay together, for there is no "
                    "white space between the words of Chinese; `chunk_pattern` knows them.",
                ),
                Mistake(
                    "chunks for words",
                    "for word, _ in self.words(chunk)",
                    "for word in [chunk]",
                    "Chunks come out as they stand in the text.  What a chunk becomes, `self.words` says.",
                ),
                Mistake(
                    "words with their places",
                    "for word, _ in self.words(chunk)",
                    "for word in self.words(chunk)",
                    "You return pairs of a word and its places.  Here, words are asked for.",
                ),
                Mistake(
                    "only the first word of a chunk",
                    "self.words(chunk)]",
                    "self.words(chunk)[:1]]",
                    "A chunk gives one word only.  It can become several, or none.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.tokenization.wordpiece:WordPiece.split",
            title="WordPiece: the longest piece first",
            points=10,
            minutes=25,
            tutorial=1,
            inputs=_words,
            ids="*.0",
            hints=(
                "Stand at the start of the word.  Which is the longest piece of the vocabulary that begins here?  Then "
                "stand behind it, and ask again.",
                "A piece that is not at the start of the word stands in the vocabulary with `self.prefix` before it; "
                "`start` and `end` count the characters of the word alone.",
                "Two loops: the outer one while characters are left, the inner one over the ends, from the far one "
                "down.  If the inner one finds nothing, the whole word is unknown, whatever was found before.",
            ),
            mistakes=(
                Mistake(
                    "shortest piece first",
                    "range(min(len(word), start + self._longest), start, -1)",
                    "range(start + 1, min(len(word), start + self._longest) + 1)",
                    "Of several pieces that fit, the shortest is taken.  Try the ends from the far one down.",
                ),
                Mistake(
                    "no mark before later pieces",
                    'prefix = self.prefix if start else ""',
                    'prefix = ""',
                    "Pieces inside a word are looked up as if they began one.  They stand in the vocabulary with ##.",
                ),
                Mistake(
                    "a half-cut word keeps its pieces",
                    "else:\n                return unknown",
                    "else:\n                return pieces + [(self.unk_token_id, start, len(word))]",
                    "A word that cannot be cut to its end keeps the pieces of its beginning.  It is one unknown token "
                    "as a whole.",
                ),
                Mistake(
                    "characters that fit nowhere are skipped",
                    "else:\n                return unknown",
                    "else:\n                start += 1\n                continue",
                    "Where no piece fits, you pass over a character and go on.  The whole word is unknown then, as one "
                    "token.",
                ),
                Mistake(
                    "no limit of length",
                    "len(word) > self.max_input_chars_per_word",
                    "False",
                    "Long words are cut too.  One with more than `max_input_chars_per_word` characters is unknown.",
                ),
                Mistake(
                    "limit one too low",
                    "len(word) > self.max_input_chars_per_word",
                    "len(word) >= self.max_input_chars_per_word",
                    "A word of exactly `max_input_chars_per_word` characters is called unknown; only longer ones are.",
                ),
                Mistake(
                    "places with the mark counted",
                    "pieces.append((piece_id, start, end))",
                    "pieces.append((piece_id, start, end + len(prefix)))",
                    "The ends are too far by the length of ##.  The mark stands in the vocabulary, not in the word.",
                ),
            ),
        ),
        Exercise(
            target="bert_numpy.tokenization.training:learn_pieces",
            omits=("The best pair comes from a heap. ... thrown away when they surface.",),
            title="Learning the pieces",
            points=12,
            minutes=30,
            needs=("WordPiece.split",),
            tutorial=1,
            inputs=_counts,
            notes="A plain loop is enough: no heap is asked for.  `_Pieces(words, tokens)` is given and does the "
            "counting.  It has `tokens`, the pieces so far; `counts`, how often each piece occurs, by its place in "
            "`tokens`; `pair_counts`, a dict from pairs of neighbours (two such places) to how often they occur; and "
            "`join(pair)`, which joins a pair everywhere and keeps all counts true.  The pair with the highest score "
            'is joined: with `algorithm="frequency"` the score is the count of the pair, with "likelihood" that count '
            "divided by the product of the counts of its two pieces.  Of equal scores the smaller pair wins, as Python "
            "compares tuples.  A pair seen less than `min_frequency` times is never joined.  Leave `progress` aside.",
            hints=(
                "While there is room: which pairs may be joined?  If there is none, stop; else join the best of them.",
                "`min` with a key that is a tuple decides ties: first the negative score, then the pair itself.",
                "Each turn: the pairs of `pair_counts` that are frequent enough; the smallest of them by (-score, "
                "pair); join it.  `vocab_size` counts all tokens, those that were there before too.",
            ),
            mistakes=(
                Mistake(
                    "frequency for likelihood",
                    "if by_likelihood:  # both",
                    "if False:  # both",
                    "The most frequent pair is joined whatever `algorithm` says.  By likelihood, what counts is how "
                    "seldom its two pieces are apart.",
                ),
                Mistake(
                    "divided by the sum",
                    "(pieces.counts[pair[0]] * pieces.counts[pair[1]])",
                    "(pieces.counts[pair[0]] + pieces.counts[pair[1]])",
                    "The count is divided by the sum of the counts of the two pieces.  By chance they would be "
                    "neighbours in proportion to the product.",
                ),
                Mistake(
                    "rare pairs are joined",
                    "pieces = _Pieces(words, tokens)",
                    "min_frequency = 1\n    pieces = _Pieces(words, tokens)",
                    "`min_frequency` does not take part.  Pairs that are seen less often are never joined.",
                ),
                Mistake(
                    "every word counted once",
                    "_Pieces(words, tokens)",
                    "_Pieces(dict.fromkeys(words, 1), tokens)",
                    "A word counts once, however often it occurs in the texts.",
                ),
                Mistake(
                    "scores taken once",
                    "heapq.heappush(heap, entry(pair))",
                    "pass",
                    "All pairs are scored before the first one is joined.  Each join makes new pairs and changes the "
                    "counts of others: score again.",
                    also=(("or best != entry(pair)", ""),),
                ),
                Mistake(
                    "vocab_size counts new pieces only",
                    "len(pieces.tokens) < vocab_size",
                    "len(pieces.tokens) < vocab_size + len(tokens)",
                    "You learn `vocab_size` pieces.  The characters and special tokens count too.",
                ),
                Mistake(
                    "only what is new",
                    "return pieces.tokens",
                    "return pieces.tokens[len(tokens) :]",
                    "The tokens that were there before are missing in the result.",
                ),
            ),
        ),
    ),
)
