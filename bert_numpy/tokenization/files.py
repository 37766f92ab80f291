"""tokenizer.json and tokenizer_config.json: what a published tokenizer says about itself.

Here: reading both into a `TokenizerFiles`, and writing tokenizer.json.  Not here: vocab.txt (`vocabulary.py`), the
tokenizer itself (`bert.py`, read that next).

A tokenizer.json describes a pipeline of any kind.  Only BERT's is accepted; whatever else is in a file is refused by
its name, because a tokenizer that is almost right gives ids that are quietly wrong.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .tokens import ROLES
from .vocabulary import read_vocab

_WORDPIECE_CLASSES = {f"{name}Tokenizer" for name in ("Bert", "DistilBert", "Electra", "MobileBert", "ConvBert")}
_SETTINGS = {
    "do_lower_case": bool,
    "strip_accents": (bool, type(None)),
    "tokenize_chinese_chars": bool,
    "clean_text": bool,
    "model_max_length": (int, float),
    "padding_side": str,
    "truncation_side": str,
    "clean_up_tokenization_spaces": bool,
    "split_special_tokens": bool,
}
_KINDS = {**_SETTINGS, **dict.fromkeys(ROLES, str), "max_input_chars_per_word": int}


class TokenizerFiles(NamedTuple):
    """What the files of a tokenizer say.

    Attributes
    ----------
    tokens : list of str
        The vocabulary; the k-th token has id k.
    settings : dict
        Keyword arguments for `BertTokenizer`.
    added_tokens : dict of str to int
        Tokens that are protected in texts, or stand beyond the vocabulary, besides the five special ones.
    """

    tokens: list[str]
    settings: dict[str, Any]
    added_tokens: dict[str, int]


def read_tokenizer_files(path: Path) -> TokenizerFiles:
    """Read a folder (tokenizer.json first, else vocab.txt), a tokenizer.json or a vocab.txt.

    In a folder, tokenizer_config.json and, for older folders, special_tokens_map.json and added_tokens.json are read
    as well.  Where tokenizer_config.json contradicts tokenizer.json, the former holds.

    Raises
    ------
    FileNotFoundError
        If there is nothing to read.
    ValueError
        If a file is damaged or describes another kind of tokenizer.
    """
    if path.is_dir():
        found = next((path / name for name in ("tokenizer.json", "vocab.txt") if (path / name).is_file()), None)
        if found is None:
            raise FileNotFoundError(f"folder {str(path)!r} has neither tokenizer.json nor vocab.txt")
        folder: Path | None = path
    else:
        found, folder = path, None
    if found.suffix == ".json":
        files = _read_tokenizer_json(found)
    else:
        files = TokenizerFiles(read_vocab(found), _settings_by_name(folder), {})
    if folder is not None:
        for name in ("special_tokens_map.json", "tokenizer_config.json"):
            if (folder / name).is_file():
                content = _read_json(folder / name)
                if found.name == "vocab.txt":
                    _check_class(folder / name, content)
                files.settings.update(_read_settings(folder / name, content))
        if found.name == "vocab.txt" and (folder / "added_tokens.json").is_file():
            files.added_tokens.update(_read_json(folder / "added_tokens.json"))
    return files


def _settings_by_name(folder: Path | None) -> dict[str, Any]:
    """Google's folders hold a bare vocab.txt; "cased" in their name, but not "uncased", is all they say about case."""
    name = "" if folder is None else folder.name.lower()
    return {"do_lower_case": False} if "cased" in name and "uncased" not in name else {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON in UTF-8 ({error}); download or save it again") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}; a JSON object is wanted")
    return content


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are all different; of two equal tokens, the id of one would be lost."""
    content = dict(pairs)
    if len(content) < len(pairs):
        counts = collections.Counter(key for key, _ in pairs)
        raise ValueError(f"the key {counts.most_common(1)[0][0]!r} stands there twice")
    return content


def _check_class(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a vocab.txt that another kind of tokenizer reads; a Japanese BERT, for one, splits words by MeCab."""
    name = content.get("tokenizer_class") or "BertTokenizer"
    if str(name).removesuffix("Fast") not in _WORDPIECE_CLASSES:
        raise ValueError(f"{path}: tokenizer_class is {name}; this package reads BERT's tokenizers only")
    if content.get("do_basic_tokenize") is False:
        raise ValueError(f"{path}: do_basic_tokenize is false, which this package does not do; split into words first")


def _read_settings(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a tokenizer_config.json or special_tokens_map.json that `BertTokenizer` takes."""
    settings: dict[str, Any] = {}
    for key, kinds in _SETTINGS.items():
        if key in content:
            _check_kind(path, key, content[key], kinds)
            settings[key] = content[key]
    for key in ROLES:
        token = content.get(key)
        if isinstance(token, dict):  # an AddedToken, written out
            token = token.get("content")
        if token is not None:
            if not isinstance(token, str):
                raise ValueError(f"{path}: field {key!r} is {token!r}; a string or an object with 'content' is wanted")
            settings[key] = token
    return settings


def _check_kind(path: Path, key: str, value: Any, kinds: Any) -> None:
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is int):
        raise ValueError(f"{path}: field {key!r} is {value!r}; another kind of value is wanted")


def _read_tokenizer_json(path: Path) -> TokenizerFiles:
    content = _read_json(path)
    try:
        return _interpret(path, content)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: is not laid out like a tokenizer.json ({error!r}); save it again") from None


def _interpret(path: Path, content: Mapping[str, Any]) -> TokenizerFiles:
    model = _part(path, content, "model", "WordPiece")
    vocab = model.get("vocab")
    if not isinstance(vocab, dict) or not all(type(i) is int and 0 <= i < 2**24 for i in vocab.values()):
        raise ValueError(f"{path}: field model.vocab must map every token to its id")
    if len(set(vocab.values())) != len(vocab):
        raise ValueError(f"{path}: field model.vocab gives two tokens the same id")
    if model.get("continuing_subword_prefix", "##") != "##":
        raise ValueError(f"{path}: field model.continuing_subword_prefix must be '##'")
    tokens = [""] * (max(vocab.values(), default=-1) + 1)
    for token, token_id in vocab.items():
        tokens[token_id] = token

    settings: dict[str, Any] = {"unk_token": model.get("unk_token", "[UNK]")}
    settings["max_input_chars_per_word"] = model.get("max_input_chars_per_word", 100)
    normalizer = _part(path, content, "normalizer", "BertNormalizer")
    settings["do_lower_case"] = normalizer.get("lowercase", True)
    settings["strip_accents"] = normalizer.get("strip_accents")
    settings["tokenize_chinese_chars"] = normalizer.get("handle_chinese_chars", True)
    settings["clean_text"] = normalizer.get("clean_text", True)
    _part(path, content, "pre_tokenizer", "BertPreTokenizer")
    settings["cls_token"], settings["sep_token"] = _read_post_processor(path, content)
    # A built-in length is dropped, as transformers does when it is called with its defaults; the sides are kept.
    if content.get("truncation"):
        settings["truncation_side"] = content["truncation"].get("direction", "Right").lower()
    if content.get("padding"):
        settings["padding_side"] = content["padding"].get("direction", "Right").lower()
        settings["pad_token"] = content["padding"].get("pad_token", "[PAD]")
    for key, value in settings.items():
        _check_kind(path, key, value, _KINDS[key])
    return TokenizerFiles(tokens, settings, _read_added_tokens(path, content))


def _part(path: Path, content: Mapping[str, Any], name: str, *kinds: str) -> dict[str, Any]:
    """Return a part of the pipeline, or refuse it by the name of its type."""
    part = content.get(name)
    if not isinstance(part, dict):
        raise ValueError(f"{path}: has no {name}; BERT's is of type {kinds[0]}")
    # Files of 2020 leave out the type of the model.
    kind = part.get("type", "WordPiece" if name == "model" and "continuing_subword_prefix" in part else None)
    if kind not in kinds:
        raise ValueError(f"{path}: {name} is of type {kind}; this package reads BERT's tokenizers only ({kinds[0]})")
    return part


def _read_post_processor(path: Path, content: Mapping[str, Any]) -> tuple[str, str]:
    """Return the [CLS] and [SEP] that the file puts around texts."""
    processor = _part(path, content, "post_processor", "TemplateProcessing", "BertProcessing")
    if processor["type"] == "BertProcessing":
        return processor["cls"][0], processor["sep"][0]
    rows = [
        (kind, str(body["id"]), body["type_id"])
        for template in ("single", "pair")
        for piece in processor.get(template, [])
        for kind, body in piece.items()
    ]
    cls, sep = rows[0][1] if rows else "", rows[2][1] if len(rows) > 2 else ""
    if rows != _template(cls, sep)[:3] + _template(cls, sep):
        raise ValueError(f"{path}: post_processor is not [CLS] A [SEP] and [CLS] A [SEP] B [SEP], with types 0 and 1")
    return cls, sep


def _template(cls: str, sep: str) -> list[tuple[str, str, int]]:
    """Return the parts of a pair; the first three are those of a single text."""
    return [
        ("SpecialToken", cls, 0),
        ("Sequence", "A", 0),
        ("SpecialToken", sep, 0),
        ("Sequence", "B", 1),
        ("SpecialToken", sep, 1),
    ]


def _read_added_tokens(path: Path, content: Mapping[str, Any]) -> dict[str, int]:
    added: dict[str, int] = {}
    for token in content.get("added_tokens", []):
        unusual = [flag for flag in ("single_word", "lstrip", "rstrip", "normalized") if token.get(flag)]
        if unusual:
            raise ValueError(
                f"{path}: added token {token['content']!r} has {unusual[0]}=true, which this package does not do; "
                "save the tokenizer with that flag off"
            )
        _check_kind(path, "the content of an added token", token["content"], str)
        _check_kind(path, f"the id of the added token {token['content']!r}", token["id"], int)
        added[token["content"]] = token["id"]
    return added


def tokenizer_json(
    tokens: Sequence[str],
    added_tokens: Mapping[str, int],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of a tokenizer.json; `settings` are those of `BertTokenizer`, with nothing left out."""
    ids = {token: token_id for token_id, token in enumerate(tokens)} | dict(added_tokens)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    cls, sep = settings["cls_token"], settings["sep_token"]
    template = [{kind: {"id": name, "type_id": type_id}} for kind, name, type_id in _template(cls, sep)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token_id, "content": token, **flags}
            for token, token_id in sorted(added_tokens.items(), key=lambda item: item[1])
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": settings["clean_text"],
            "handle_chinese_chars": settings["tokenize_chinese_chars"],
            "strip_accents": settings["strip_accents"],
            "lowercase": settings["do_lower_case"],
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": template[:3],
            "pair": template,
            "special_tokens": {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in (cls, sep)},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": settings["unk_token"],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": settings["max_input_chars_per_word"],
            "vocab": {token: token_id for token_id, token in enumerate(tokens)},
        },
    }
