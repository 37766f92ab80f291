"""`BertTokenizer`: text in, the model's inputs out, and back.

Here: the vocabulary with its special tokens, the call, decoding, loading and saving.  Everything it does to a text
stands in the files before this one, in this order: `basic.py`, `wordpiece.py`, `analysis.py`, `encoding.py`,
`truncation.py`, `batch.py`, `vocabulary.py`, `tokens.py`, `arguments.py`, `files.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..hub import find_model
from .analysis import Analyzer, TokenizedText
from .arguments import SIDES, checked, padded_length, read_samples, resolve_lengths
from .basic import BasicTokenizer
from .batch import BatchEncoding, check_tensor_type, pad_columns
from .encoding import Encoding, Segment, link_windows
from .files import read_tokenizer_files, tokenizer_json
from .tokens import TokenVocabulary
from .truncation import Window, all_cuts, first_cut
from .vocabulary import read_vocab, write_atomically, write_vocab
from .wordpiece import WordPiece

NO_LIMIT = int(1e30)
"""The `model_max_length` that means "not set"."""


class BertTokenizer(TokenVocabulary):
    """Turn text into the inputs of a BERT, and ids back into text.

    Ids, types and offsets are those of the `tokenizers` library (what `transformers` uses) on any string, apart from
    the characters that the library knows only from an older Unicode table and from a misprinted range of Han
    characters (U+2B820 to U+2B91F).

    Parameters
    ----------
    vocab_file : path or sequence of str
        A vocab.txt, or the tokens themselves in the order of their ids.
    do_lower_case, strip_accents, tokenize_chinese_chars, clean_text
        See `BasicTokenizer`.
    unk_token, sep_token, pad_token, cls_token, mask_token : str
        The special tokens; they must be in the vocabulary.  `pad_token` and `mask_token` may be None.
    added_tokens : mapping of str to int, optional
        Further special tokens with their ids, see `add_special_tokens`.
    split_special_tokens : bool
        By default a literal "[SEP]" or "[MASK]" in a text *is* that token, so whoever writes the text can end the
        first segment or ask for a prediction.  For text from strangers pass True: it is then plain text.
    model_max_length : int
        The length that `truncation=True` and `padding="max_length"` mean without a `max_length`; `NO_LIMIT` if unset.
    padding_side, truncation_side : {"right", "left"}
    max_input_chars_per_word : int, optional
        Longer words become [UNK]; 100, or 200 in mode "google".
    clean_up_tokenization_spaces : bool
        What `decode` does when it is not told.
    mode : {"hf", "google"}
        "google" follows Google's program of 2018 where the two differ: words of up to 200 characters; special tokens
        in texts are plain text; an empty second text is no second text; when two texts are cut to an odd budget, the
        first keeps one more; and the two rules that `BasicTokenizer` names.  Files do not store the mode.

    Raises
    ------
    FileNotFoundError, ValueError
        If the vocabulary cannot be read or lacks a special token.

    Examples
    --------
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "play", "##ing"]
    >>> tokenizer = BertTokenizer(words)
    >>> tokenizer.tokenize("Hello, playing world")
    ['hello', '[UNK]', 'play', '##ing', 'world']
    >>> batch = tokenizer(["hello world", "hello"], padding=True, return_tensors="np")
    >>> batch["input_ids"]
    array([[2, 5, 6, 3],
           [2, 5, 3, 0]])
    >>> tokenizer.decode([2, 5, 7, 8, 3], skip_special_tokens=True)
    'hello playing'
    """

    model_input_names = ("input_ids", "token_type_ids", "attention_mask")

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Sequence[str],
        do_lower_case: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        *,
        clean_text: bool = True,
        unk_token: str = "[UNK]",
        sep_token: str = "[SEP]",
        pad_token: str | None = "[PAD]",
        cls_token: str = "[CLS]",
        mask_token: str | None = "[MASK]",
        added_tokens: Mapping[str, int] | None = None,
        split_special_tokens: bool = False,
        model_max_length: float = NO_LIMIT,
        padding_side: str = "right",
        truncation_side: str = "right",
        max_input_chars_per_word: int | None = None,
        clean_up_tokenization_spaces: bool = False,
        mode: str = "hf",
    ) -> None:
        tokens = read_vocab(vocab_file) if isinstance(vocab_file, str | os.PathLike) else vocab_file
        super().__init__(
            tokens, unk_token, sep_token, pad_token, cls_token, mask_token, added_tokens, clean_up_tokenization_spaces
        )
        self.do_lower_case, self.strip_accents, self.mode = do_lower_case, strip_accents, mode
        self.tokenize_chinese_chars, self.clean_text = tokenize_chinese_chars, clean_text
        self.split_special_tokens = split_special_tokens or mode == "google"
        self.model_max_length = NO_LIMIT if model_max_length >= 1e20 else int(model_max_length)
        self.padding_side = checked("padding_side", padding_side, SIDES)
        self.truncation_side = checked("truncation_side", truncation_side, SIDES)
        self._cls = Segment([self.cls_token_id])
        self._seps = Segment([self.sep_token_id], 0), Segment([self.sep_token_id], 1)
        self._basic = BasicTokenizer(do_lower_case, strip_accents, tokenize_chinese_chars, clean_text, mode)
        limit = max_input_chars_per_word or (200 if mode == "google" else 100)
        words = {token: token_id for token_id, token in enumerate(tokens)}  # without the added tokens
        self._wordpiece = WordPiece(words, unk_token, limit)
        self._analyzer = Analyzer(self._basic, self._wordpiece, self._protected)

    def __repr__(self) -> str:
        return (
            f"BertTokenizer(vocab_size={self.vocab_size}, do_lower_case={self.do_lower_case}, mode={self.mode!r}, "
            f"model_max_length={self.model_max_length})"
        )

    def add_special_tokens(self, tokens: Sequence[str] | Mapping[str, Sequence[str]]) -> int:
        """Add tokens that stay whole in texts; see `TokenVocabulary.add_special_tokens`."""
        n_new = super().add_special_tokens(tokens)
        self._analyzer = Analyzer(self._basic, self._wordpiece, self._protected)
        return n_new

    # ---------------------------------------------------------------- to ids

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        """Return the tokens of a text, or of two texts after each other."""
        return self(text, pair, add_special_tokens=add_special_tokens, truncation=False).tokens()

    def encode(
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        *,
        is_split_into_words: bool = False,
        pad_to_max_length: bool = False,
    ) -> Any:
        """Return the ids of one text or pair: a list, or an array of shape (1, S).  Parameters as in a call."""
        return self(
            text,
            text_pair,
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            padding_side=padding_side,
            return_tensors=return_tensors,
            is_split_into_words=is_split_into_words,
            pad_to_max_length=pad_to_max_length,
        )["input_ids"]

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        *,
        split_special_tokens: bool | None = None,
        pad_to_max_length: bool = False,
    ) -> BatchEncoding:
        """Encode one text, one pair, or a batch of either.

        Parameters
        ----------
        text : str, or list of str, or list of pairs of str
            With `is_split_into_words`: list of words, or list of lists of words.
        text_pair : like `text`, optional
            The second text of each sequence.  "" is a second text too, and has its own [SEP].
        add_special_tokens : bool
            Put [CLS] before and [SEP] behind each text.
        padding : bool or {"longest", "max_length", "do_not_pad"}
            True is "longest": up to the longest sequence of the batch.
        truncation : bool or {"longest_first", "only_first", "only_second", "do_not_truncate"}, optional
            True is "longest_first".  None truncates if there is a `max_length` and no padding.
        max_length : int, optional
            The longest sequence, special tokens included; `model_max_length` if None.
        stride : int
            How many ids neighbouring windows share.
        is_split_into_words : bool
            The texts are given as words; `word_ids` then number them, and offsets count within a word.
        pad_to_multiple_of : int, optional
        padding_side : {"right", "left"}, optional
        return_tensors : {"np"}, optional
            Arrays of int64 instead of lists.
        return_token_type_ids, return_attention_mask, return_special_tokens_mask, return_offsets_mapping, return_length
            Which columns to return.
        return_overflowing_tokens : bool
            What is cut off comes back in further windows; `overflow_to_sample_mapping` says whose they are.
        split_special_tokens : bool, optional
            For this call; see the class.
        pad_to_max_length : bool
            The old spelling of `padding="max_length"`, which also truncates to a `max_length`.

        Returns
        -------
        BatchEncoding

        Raises
        ------
        TypeError
            If a text is not a str.
        ValueError
            If lengths, strides or strategies cannot be met.
        """
        check_tensor_type(return_tensors)
        if pad_to_max_length and padding is False:  # the programs of that time expect to be truncated as well
            padding, truncation = "max_length", max_length is not None if truncation is None else truncation
        padding, strategy, max_length = self._resolve(padding, truncation, max_length, pad_to_multiple_of)
        side = checked("padding_side", padding_side or self.padding_side, SIDES)
        split = self.split_special_tokens if split_special_tokens is None else split_special_tokens
        samples, is_batch = read_samples(text, text_pair, is_split_into_words)

        encodings: list[Encoding] = []
        sample_of: list[int] = []
        for number, sample in enumerate(samples):
            texts = [TokenizedText(self._analyzer, t, split) for t in sample if t is not None]
            if self.mode == "google" and len(texts) == 2 and not texts[1].ids:
                del texts[1]
            found = self._encode(texts, add_special_tokens, strategy, max_length, stride, return_overflowing_tokens)
            encodings += found
            sample_of += [number] * len(found)
        if padding != "do_not_pad":
            length = padded_length([len(e) for e in encodings], padding, max_length, pad_to_multiple_of)
            encodings = [e.padded(length, self._pad_id(), side) for e in encodings]
        if return_overflowing_tokens:
            link_windows(encodings, sample_of)

        columns: dict[str, list[Any]] = {"input_ids": [e.ids for e in encodings]}
        if return_token_type_ids is not False:
            columns["token_type_ids"] = [e.type_ids for e in encodings]
        if return_attention_mask is not False:
            columns["attention_mask"] = [e.attention_mask for e in encodings]
        if return_special_tokens_mask:
            columns["special_tokens_mask"] = [e.special_tokens_mask for e in encodings]
        if return_offsets_mapping:
            columns["offset_mapping"] = [e.offsets for e in encodings]
        if return_length:
            columns["length"] = [len(e) for e in encodings]
        if return_overflowing_tokens:
            columns["overflow_to_sample_mapping"] = sample_of
        elif not is_batch and return_tensors is None:
            columns = {name: column if name == "length" else column[0] for name, column in columns.items()}
        return BatchEncoding(columns, encodings).convert_to_tensors(return_tensors)

    encode_plus = __call__
    batch_encode_plus = __call__

    def _resolve(
        self, padding: bool | str, truncation: bool | str | None, max_length: int | None, multiple: int | None
    ) -> tuple[str, str, int | None]:
        limit = None if self.model_max_length >= NO_LIMIT else self.model_max_length
        return resolve_lengths(padding, truncation, max_length, limit, multiple)

    def _pad_id(self) -> int:
        if self.pad_token_id is None:
            raise ValueError("this tokenizer has no pad_token; give one (pad_token='[PAD]') or do not pad")
        return self.pad_token_id

    def _encode(
        self,
        texts: list[TokenizedText],
        add_special_tokens: bool,
        strategy: str,
        max_length: int | None,
        stride: int,
        all_windows: bool,
    ) -> list[Encoding]:
        """Return the encoding of one text or pair, followed by its further windows if they are wanted."""
        n_special = self.num_special_tokens_to_add(len(texts) == 2) if add_special_tokens else 0
        budget = None
        if strategy != "do_not_truncate" and max_length is not None:
            budget = max_length - n_special
            if budget < 0:
                raise ValueError(
                    f"max_length {max_length} has no room for the {n_special} special tokens; use a larger one"
                )
            if stride and not 0 <= stride < budget:
                raise ValueError(
                    f"stride {stride} must not be negative and must be less than {budget}: max_length {max_length} "
                    f"without {n_special} special tokens"
                )
        lengths = [len(text.ids) for text in texts]
        extra_to_first = self.mode == "google"
        if all_windows:
            cuts = all_cuts(lengths, budget, strategy, stride, self.truncation_side, extra_to_first)
        else:
            cuts = [first_cut(lengths, budget, strategy, self.truncation_side, extra_to_first)]
        return [self._assemble(texts, cut, add_special_tokens) for cut in cuts]

    def _assemble(self, texts: list[TokenizedText], cut: Sequence[Window], add_special_tokens: bool) -> Encoding:
        segments = [self._cls] if add_special_tokens else []
        for number, (text, (start, stop)) in enumerate(zip(texts, cut, strict=True)):
            segments.append(Segment(text.ids[start:stop], number, text, start, number))
            if add_special_tokens:
                segments.append(self._seps[number])
        return Encoding(segments, self._token)

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Pad sequences that are already encoded to one length.

        Parameters
        ----------
        encoded_inputs : mapping of columns, or sequence of mappings
            A batch, one sequence (ids in a flat list), or what a data set returns item by item.
        padding, max_length, pad_to_multiple_of, padding_side, return_tensors
            As in a call.
        return_attention_mask : bool, optional
            Add the column if it is missing; yes, unless False.

        Examples
        --------
        >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[SEP]", "[CLS]", "[MASK]"])
        >>> tokenizer.pad([{"input_ids": [3, 2]}, {"input_ids": [3]}])
        {'input_ids': [[3, 2], [3, 0]], 'attention_mask': [[1, 1], [1, 0]]}
        """
        check_tensor_type(return_tensors)
        padding, _, max_length = self._resolve(padding, False, max_length, pad_to_multiple_of)
        side = checked("padding_side", padding_side or self.padding_side, SIDES)
        if isinstance(encoded_inputs, Mapping):
            columns = {name: _listed(column) for name, column in encoded_inputs.items()}
        else:
            rows = list(encoded_inputs)
            columns = {name: [_listed(row[name]) for row in rows] for name in (rows[0] if rows else ())}
        if "input_ids" not in columns:
            raise ValueError(f"padding needs a column input_ids; there are only {sorted(columns)}")
        is_single = bool(columns["input_ids"]) and not isinstance(columns["input_ids"][0], list)
        if is_single:
            columns = {name: [column] for name, column in columns.items()}
        lengths = [len(ids) for ids in columns["input_ids"]]
        if return_attention_mask is not False and "attention_mask" not in columns:
            columns["attention_mask"] = [[1] * n for n in lengths]
        if padding != "do_not_pad":
            length = padded_length(lengths, padding, max_length, pad_to_multiple_of)
            columns = pad_columns(columns, length, self._pad_id(), side)
        if is_single:
            columns = {name: column[0] for name, column in columns.items()}
        return BatchEncoding(columns).convert_to_tensors(return_tensors)

    # ---------------------------------------------------------------- files

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], **settings: Any) -> BertTokenizer:
        """Load a tokenizer from a folder, a tokenizer.json or a vocab.txt, or by the name of a model that ships.

        Parameters
        ----------
        path : path or str
            In a folder, tokenizer.json is preferred to vocab.txt.
        **settings
            Keyword arguments of the class; they hold against what the files say.

        Notes
        -----
        A length to truncate or pad to that is built into a tokenizer.json is not used: only what a call says counts,
        and `model_max_length` of tokenizer_config.json where it says nothing.  A folder that has vocab.txt alone says
        nothing about case: it is taken as lower-cased unless its name says "cased", as Google's do; pass
        `do_lower_case` to be sure.

        Raises
        ------
        FileNotFoundError
            If there is no such file or folder, or no tokenizer in it.
        ValueError
            If a file is damaged or describes another tokenizer than BERT's; the message names it.
        TypeError
            For a keyword that the class does not have.
        """
        files = read_tokenizer_files(Path(path) if os.path.exists(path) else find_model(path, files=("tokenizer",)))
        merged = {**files.settings, "added_tokens": files.added_tokens, **settings}
        if merged.get("mode") == "google" and "max_input_chars_per_word" not in settings:
            merged["max_input_chars_per_word"] = None
        try:
            return cls(files.tokens, **merged)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> tuple[str, ...]:
        """Write tokenizer.json, tokenizer_config.json and vocab.txt, and return their paths.

        `transformers`, `tokenizers` and the readers of a bare vocab.txt all find what they look for.  Each file is
        replaced as a whole or not at all.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {
            "do_lower_case": self.do_lower_case,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.tokenize_chinese_chars,
            "clean_text": self.clean_text,
            **self.special_tokens_map,
        }
        config = {
            **settings,
            "model_max_length": self.model_max_length,
            "padding_side": self.padding_side,
            "truncation_side": self.truncation_side,
            "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces,
            "split_special_tokens": self.split_special_tokens and self.mode != "google",
            "tokenizer_class": "BertTokenizer",
        }
        settings["max_input_chars_per_word"] = self._wordpiece.max_input_chars_per_word
        whole = tokenizer_json(self._tokens[: self.vocab_size], self._protected, settings)
        for name, content in (("tokenizer.json", whole), ("tokenizer_config.json", config)):
            write_atomically(json.dumps(content, ensure_ascii=False, indent=2) + "\n", folder / name)
        paths = [str(folder / name) for name in ("tokenizer.json", "tokenizer_config.json")]
        return (*paths, *self.save_vocabulary(folder))

    def save_vocabulary(self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None) -> tuple[str]:
        """Write vocab.txt into a folder that exists, and return its path."""
        name = f"{filename_prefix}-vocab.txt" if filename_prefix else "vocab.txt"
        path = Path(save_directory) / name
        write_vocab(self._tokens[: self.vocab_size], path)
        return (str(path),)


def _listed(column: Any) -> Any:
    return column.tolist() if hasattr(column, "tolist") else list(column) if isinstance(column, Sequence) else column
