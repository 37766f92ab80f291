"""Tokens and their ids: the special ones with their roles, those added later, and the way back to text.

Here: `TokenVocabulary`, which `BertTokenizer` extends.  Not here: the files (`vocabulary.py`), the way from text to
ids (`bert.py`).  Read next: `arguments.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from .vocabulary import check_tokens

ROLES = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class TokenVocabulary:
    """The tokens that a model knows, and the five that have a role.

    Parameters
    ----------
    tokens : sequence of str
        In the order of their ids.
    unk_token, sep_token, cls_token : str
    pad_token, mask_token : str or None
    added_tokens : mapping of str to int, optional
        Further special tokens with their ids.
    clean_up_tokenization_spaces : bool
        What `decode` does when it is not told.

    Attributes
    ----------
    unk_token_id, sep_token_id, pad_token_id, cls_token_id, mask_token_id : int
        The ids of the tokens with a role; None without the token.
    vocab_size : int
        The number of tokens without those that were added.

    Raises
    ------
    ValueError
        If a token stands twice, or one with a role is missing.

    Examples
    --------
    >>> vocabulary = TokenVocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello"])
    >>> vocabulary.mask_token_id, vocabulary.convert_ids_to_tokens([5]), len(vocabulary)
    (4, ['hello'], 6)
    """

    def __init__(
        self,
        tokens: Sequence[str],
        unk_token: str = "[UNK]",
        sep_token: str = "[SEP]",
        pad_token: str | None = "[PAD]",
        cls_token: str = "[CLS]",
        mask_token: str | None = "[MASK]",
        added_tokens: Mapping[str, int] | None = None,
        clean_up_tokenization_spaces: bool = False,
    ) -> None:
        if isinstance(tokens, Mapping):
            raise TypeError("the tokens are wanted as a list in the order of their ids, not as a mapping")
        check_tokens(tokens)
        self.vocab_size = len(tokens)
        self._tokens = list(tokens)
        self._ids = {token: token_id for token_id, token in enumerate(tokens)}
        added_tokens = added_tokens or {}
        special = [token for token in (unk_token, sep_token, pad_token, cls_token, mask_token) if token is not None]
        missing = [token for token in special if token not in self._ids and token not in added_tokens]
        if missing or unk_token not in self._ids:
            raise ValueError(
                f"the vocabulary lacks the special tokens {', '.join(missing or [unk_token])}; is it that of a BERT?  "
                "If they have other names there, give them (unk_token=..., cls_token=...)"
            )
        self._protected: dict[str, int] = {}
        for token in special:
            if token in self._ids:
                self._protect(token, None)
        for token in sorted(added_tokens, key=lambda token: added_tokens[token]):  # new ids follow one another
            self._protect(token, added_tokens[token])

        self.unk_token, self.unk_token_id = unk_token, self._ids[unk_token]
        self.sep_token, self.sep_token_id = sep_token, self._ids[sep_token]
        self.cls_token, self.cls_token_id = cls_token, self._ids[cls_token]
        self.pad_token, self.pad_token_id = pad_token, None if pad_token is None else self._ids[pad_token]
        self.mask_token, self.mask_token_id = mask_token, None if mask_token is None else self._ids[mask_token]
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces

    def __len__(self) -> int:
        """Return the number of ids: the vocabulary and the tokens added to it."""
        return len(self._tokens)

    @property
    def vocab(self) -> Mapping[str, int]:
        """Every token and its id, those added included; to be read only."""
        return MappingProxyType(self._ids)

    def get_vocab(self) -> dict[str, int]:
        """Return every token and its id, those added included."""
        return dict(self._ids)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The special tokens by the names of their roles."""
        return {role: getattr(self, role) for role in ROLES if getattr(self, role) is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens, those with a role first."""
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self._protected]))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return [self._ids[token] for token in self.all_special_tokens]

    def add_special_tokens(self, tokens: Sequence[str] | Mapping[str, Sequence[str]]) -> int:
        """Add tokens that stay whole wherever they occur literally in a text, such as "[E1]".

        Parameters
        ----------
        tokens : sequence of str, or {"additional_special_tokens": sequence of str}

        Returns
        -------
        int
            How many were new.  They have the ids from the old `len(tokenizer)` on, and the model's word embeddings
            have to grow with them.
        """
        if isinstance(tokens, Mapping):
            if set(tokens) != {"additional_special_tokens"}:
                raise ValueError(f"only 'additional_special_tokens' can be added, not {sorted(tokens)}")
            tokens = tokens["additional_special_tokens"]
        if isinstance(tokens, str):
            raise TypeError(f"a list of tokens is wanted, not the str {tokens!r}")
        before = len(self)
        for token in tokens:
            self._protect(token, None)
        return len(self) - before

    def _protect(self, token: str, token_id: int | None) -> None:
        """Make `token` a special one, with its own id or the next free one."""
        if not isinstance(token, str) or not token:
            raise TypeError(f"{token!r} cannot be a special token; a str that is not empty is wanted")
        expected = self._ids.get(token, len(self._tokens))
        if token_id not in (None, expected):
            raise ValueError(f"special token {token!r} is said to have id {token_id}; here its id is {expected}")
        if expected == len(self._tokens):
            self._tokens.append(token)
        self._ids[token] = self._protected[token] = expected

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> Any:
        """Return the id of a token, or the list of the ids of several; unknown ones have that of [UNK].

        Examples
        --------
        >>> TokenVocabulary(["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]", "a"]).convert_tokens_to_ids(["a", "b"])
        [5, 0]
        """
        if isinstance(tokens, str):
            return self._ids.get(tokens, self.unk_token_id)
        return [self._ids.get(token, self.unk_token_id) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or the list of the tokens of several.

        Raises
        ------
        IndexError
            If an id is negative or not in the vocabulary.
        TypeError
            If it is no integer.
        """
        if hasattr(ids, "__index__") and not getattr(ids, "ndim", 0):
            return self._token(ids)
        special = set(self.all_special_ids) if skip_special_tokens else set()
        return [self._token(i) for i in ids if i not in special]

    def _token(self, token_id: Any) -> str:
        try:
            index = operator.index(token_id)
        except TypeError:
            raise TypeError(f"a token id must be an integer, not {token_id!r}") from None
        if not 0 <= index < len(self._tokens):
            raise IndexError(f"token id {index} is outside the vocabulary of {len(self)} tokens")
        return self._tokens[index]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many special tokens go around one text (2), or around a pair (3)."""
        return 3 if pair else 2

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Return [CLS] A [SEP], or [CLS] A [SEP] B [SEP], for lists of ids."""
        first = [self.cls_token_id, *token_ids_0, self.sep_token_id]
        return first if token_ids_1 is None else [*first, *token_ids_1, self.sep_token_id]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """Return the types of `build_inputs_with_special_tokens`: 0 up to the first [SEP], then 1."""
        first = [0] * (len(token_ids_0) + 2)
        return first if token_ids_1 is None else first + [1] * (len(token_ids_1) + 1)

    def get_special_tokens_mask(
        self,
        token_ids_0: Sequence[int],
        token_ids_1: Sequence[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """Return 1 for each special token and 0 for each other one.

        Parameters
        ----------
        already_has_special_tokens : bool
            Whether `token_ids_0` is a finished sequence; else the mask is that of `build_inputs_with_special_tokens`.
        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise ValueError("a sequence that has its special tokens is one list; leave token_ids_1 out")
            special = set(self.all_special_ids)
            return [int(i in special) for i in token_ids_0]
        first = [1] + [0] * len(token_ids_0) + [1]
        return first if token_ids_1 is None else first + [0] * len(token_ids_1) + [1]

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> Any:
        """Return the text of one id or of a sequence of ids; a list of texts for a sequence of sequences.

        Pieces are joined, and ".", ",", "?" and "!" follow the word before them.  What cleaning, lower-casing and
        [UNK] took away is gone: cut the original text by `offsets` where it matters.

        Parameters
        ----------
        clean_up_tokenization_spaces : bool, optional
            Also join the parts of English contractions ("don ' t" becomes "don't"); None: as the tokenizer is set.
        """
        if hasattr(token_ids, "tolist"):
            token_ids = token_ids.tolist()
        if isinstance(token_ids, Sequence) and len(token_ids) and hasattr(token_ids[0], "__len__"):
            return self.batch_decode(token_ids, skip_special_tokens, clean_up_tokenization_spaces)
        ids = token_ids if isinstance(token_ids, Iterable) else [token_ids]
        text = self.convert_tokens_to_string(self.convert_ids_to_tokens(ids, skip_special_tokens))
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        if clean_up_tokenization_spaces:
            for detached in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
                text = text.replace(detached, detached.strip())
        return text

    def batch_decode(
        self,
        sequences: Iterable[Any],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """Return the texts of several sequences of ids; see `decode`."""
        return [self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces) for ids in sequences]

    def convert_tokens_to_string(self, tokens: Iterable[str]) -> str:
        """Join tokens to a text.

        Examples
        --------
        >>> tokenizer = TokenVocabulary(["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"])
        >>> tokenizer.convert_tokens_to_string(["em", "##bed", "##ding", "is", "fun", "!"])
        'embedding is fun!'
        """
        text: list[str] = []
        for token in tokens:
            if text and token.startswith("##"):
                token = token[2:]
            elif text and not token.startswith((".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re")):
                token = " " + token
            text.append(token)
        return "".join(text)
