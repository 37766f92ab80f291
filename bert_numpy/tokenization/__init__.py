"""Text to ids and back: BERT's tokenizer, written out.

In the order in which to read them:

- `basic`: text to words (cleaning, Han characters, lower case, accents, punctuation)
- `wordpiece`: words to pieces
- `analysis`: texts to ids and positions, special tokens kept, everything remembered
- `encoding`, `truncation`, `batch`: specials, windows, padding, arrays
- `vocabulary`, `tokens`: vocab.txt, special tokens, ids back to text
- `arguments`, `files`: what a call may say; tokenizer.json
- `bert`: `BertTokenizer`, which most readers want
- `training`: a vocabulary learnt from text

Importing this package reads no table and no `regex`; the first text does.
"""

from .analysis import Analyzer, TokenizedText
from .basic import BasicTokenizer
from .batch import BatchEncoding
from .bert import BertTokenizer
from .encoding import Encoding
from .training import train_wordpiece
from .vocabulary import read_vocab, write_vocab
from .wordpiece import WordPiece

__all__ = [
    "Analyzer",
    "BasicTokenizer",
    "BatchEncoding",
    "BertTokenizer",
    "Encoding",
    "TokenizedText",
    "WordPiece",
    "read_vocab",
    "train_wordpiece",
    "write_vocab",
]
