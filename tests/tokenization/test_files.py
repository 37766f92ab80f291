"""Folders, tokenizer.json and tokenizer_config.json: what is honoured, what is refused, what is written."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bert_numpy.tokenization import BertTokenizer, write_vocab

TEXT = "Hello [MASK], Été 中文"


@pytest.fixture
def content(tokenizer: BertTokenizer, tmp_path: Path) -> dict[str, Any]:
    """A tokenizer.json as this package writes it, to be bent."""
    tokenizer.save_pretrained(tmp_path / "source")
    return json.loads((tmp_path / "source" / "tokenizer.json").read_text(encoding="utf-8"))


def save(folder: Path, **files: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


def test_a_saved_tokenizer_loads_equal(tokens: list[str], tmp_path: Path) -> None:
    tokenizer = BertTokenizer(
        tokens,
        do_lower_case=False,
        strip_accents=True,
        tokenize_chinese_chars=False,
        clean_text=False,
        model_max_length=77,
        padding_side="left",
        truncation_side="left",
        clean_up_tokenization_spaces=True,
        max_input_chars_per_word=50,
    )
    tokenizer.add_special_tokens(["[E1]"])
    paths = tokenizer.save_pretrained(tmp_path / "a" / "b")
    assert sorted(Path(path).name for path in paths) == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == sorted(Path(path).name for path in paths)
    again = BertTokenizer.from_pretrained(tmp_path / "a" / "b")
    for name, value in vars(tokenizer).items():
        if name not in ("_basic", "_wordpiece", "_analyzer"):
            assert getattr(again, name) == value, name
    for text in (TEXT, "[E1] a\x00b", "a" * 51):
        assert again(text).data == tokenizer(text).data
    assert (tmp_path / "a" / "b" / "vocab.txt").read_text(encoding="utf-8").split("\n") == [*tokens, ""]


def test_a_vocabulary_alone_is_enough(tokens: list[str], tokenizer: BertTokenizer, tmp_path: Path) -> None:
    write_vocab(tokens, tmp_path / "vocab.txt")
    for path in (tmp_path, tmp_path / "vocab.txt", str(tmp_path)):
        assert BertTokenizer.from_pretrained(path)(TEXT).data == tokenizer(TEXT).data
    assert tokenizer.save_vocabulary(tmp_path, "small") == (str(tmp_path / "small-vocab.txt"),)


def test_the_configuration_beside_a_vocabulary_holds(tokens: list[str], tmp_path: Path) -> None:
    write_vocab([*tokens, "<mask>"], tmp_path / "vocab.txt")
    save(
        tmp_path,
        tokenizer_config={"do_lower_case": False, "model_max_length": 512, "mask_token": {"content": "<mask>"}, "x": 1},
        special_tokens_map={"mask_token": "[MASK]", "pad_token": "[PAD]"},
        added_tokens={"[E2]": len(tokens) + 2, "[E1]": len(tokens) + 1},
    )
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert (tokenizer.do_lower_case, tokenizer.model_max_length, tokenizer.mask_token) == (False, 512, "<mask>")
    assert tokenizer.tokenize("[E1] hello Hello") == ["[E1]", "hello", "[UNK]"]
    assert BertTokenizer.from_pretrained(tmp_path, do_lower_case=True).tokenize("Hello") == ["hello"]


def test_tokenizer_json_comes_first_and_its_settings_count(content: dict[str, Any], tmp_path: Path) -> None:
    content["normalizer"].update(lowercase=False, strip_accents=True, handle_chinese_chars=False)
    content["model"]["max_input_chars_per_word"] = 4
    content["padding"] = {"strategy": {"Fixed": 128}, "direction": "Left", "pad_token": "[PAD]", "pad_id": 0}
    content["truncation"] = {"max_length": 128, "direction": "Left", "strategy": "LongestFirst", "stride": 0}
    folder = save(tmp_path / "model", tokenizer=content)
    write_vocab(["nothing", "of", "use"], folder / "vocab.txt")
    tokenizer = BertTokenizer.from_pretrained(folder)
    assert (tokenizer.do_lower_case, tokenizer.strip_accents, tokenizer.tokenize_chinese_chars) == (False, True, False)
    assert tokenizer.tokenize("play world") == ["play", "[UNK]"]
    assert (tokenizer.padding_side, tokenizer.truncation_side) == ("left", "left")
    # A built-in length is not used unless a call asks for a length.
    assert len(tokenizer("a " * 200)["input_ids"]) == 202
    assert len(tokenizer("a")["input_ids"]) == 3
    save(folder, tokenizer_config={"do_lower_case": True, "padding_side": "right"})
    again = BertTokenizer.from_pretrained(folder)
    assert (again.do_lower_case, again.strip_accents, again.padding_side) == (True, True, "right")


def test_a_bert_processing_and_an_untyped_model_are_read(content: dict[str, Any], tmp_path: Path) -> None:
    content["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    del content["model"]["type"]
    path = save(tmp_path / "model", tokenizer=content) / "tokenizer.json"
    assert BertTokenizer.from_pretrained(path)("a", "b").tokens() == ["[CLS]", "a", "[SEP]", "b", "[SEP]"]


def bend(content: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    bent = copy.deepcopy(content)
    part = bent
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = to
    return bent


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (("model",), {"type": "BPE", "vocab": {}}, r"model is of type BPE; .*\(WordPiece\)"),
        (("model",), {"type": "Unigram", "vocab": []}, "model is of type Unigram"),
        (("model",), None, "has no model"),
        (("model", "vocab"), ["a"], "model.vocab must map"),
        (("model", "vocab"), {"a": -1}, "model.vocab must map"),
        (("model", "vocab"), {"a": 2**40}, "model.vocab must map"),
        (("model", "vocab"), {"a": 1, "b": 1}, "two tokens the same id"),
        (("model", "continuing_subword_prefix"), "@@", "must be '##'"),
        (("normalizer",), {"type": "NFKC"}, "normalizer is of type NFKC"),
        (("normalizer",), None, "has no normalizer; BERT's is of type BertNormalizer"),
        (("pre_tokenizer",), {"type": "ByteLevel"}, "pre_tokenizer is of type ByteLevel"),
        (("post_processor",), {"type": "RobertaProcessing"}, "post_processor is of type RobertaProcessing"),
        (("post_processor", "pair"), [], "post_processor is not"),
        (("post_processor", "pair", 3, "Sequence", "type_id"), 0, "post_processor is not"),
        (("added_tokens", 0, "normalized"), True, "added token .* has normalized=true"),
        (("added_tokens", 0, "lstrip"), True, "added token .* has lstrip=true"),
        (("added_tokens",), [1], r"not laid out like a tokenizer\.json"),
        (("added_tokens", 0), {"id": 0}, r"not laid out like a tokenizer\.json"),
        (("post_processor", "single"), 3, r"not laid out like a tokenizer\.json"),
        (("truncation",), 5, r"not laid out like a tokenizer\.json"),
        (("added_tokens", 0, "id"), 7, "is said to have id 7; here its id is 0"),
    ],
)
def test_other_tokenizers_are_refused_by_name(
    content: dict[str, Any], tmp_path: Path, path: tuple, to: Any, message: str
) -> None:
    folder = save(tmp_path / "model", tokenizer=bend(content, *path, to=to))
    with pytest.raises(ValueError, match=message) as caught:
        BertTokenizer.from_pretrained(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("damaged", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_damaged_json_is_refused(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"is not JSON in UTF-8|a JSON object is wanted"):
        BertTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("do_lower_case", "yes"), ("model_max_length", None), ("cls_token", 3), ("cls_token", {"content": 1})],
)
def test_wrong_fields_of_the_configuration_are_named(tokens: list[str], tmp_path: Path, field: str, value: Any) -> None:
    write_vocab(tokens, tmp_path / "vocab.txt")
    save(tmp_path, tokenizer_config={field: value})
    with pytest.raises(ValueError, match=rf"tokenizer_config\.json: field '{field}'"):
        BertTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "config", [{"tokenizer_class": "BertJapaneseTokenizer"}, {"tokenizer_class": "X"}, {"do_basic_tokenize": False}]
)
def test_a_vocabulary_of_another_tokenizer_is_refused(tokens: list[str], tmp_path: Path, config: dict) -> None:
    write_vocab(tokens, tmp_path / "vocab.txt")
    BertTokenizer.from_pretrained(save(tmp_path, tokenizer_config={"tokenizer_class": "BertTokenizerFast"}))
    with pytest.raises(ValueError, match=next(iter(config))):
        BertTokenizer.from_pretrained(save(tmp_path, tokenizer_config=config))


def test_what_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no model bert-base-nowhere: there is no such folder"):
        BertTokenizer.from_pretrained("bert-base-nowhere")
    with pytest.raises(FileNotFoundError, match=r"has neither tokenizer\.json nor vocab\.txt"):
        BertTokenizer.from_pretrained(tmp_path)


def test_unknown_settings_are_refused(tokens: list[str], tmp_path: Path) -> None:
    write_vocab(tokens, tmp_path / "vocab.txt")
    with pytest.raises(TypeError, match="lower_case"):
        BertTokenizer.from_pretrained(tmp_path, lower_case=True)


def test_mode_google_loads_from_the_same_files(tokens: list[str], content: dict[str, Any], tmp_path: Path) -> None:
    folder = save(tmp_path / "model", tokenizer=content)
    google = BertTokenizer.from_pretrained(folder, mode="google")
    assert google.tokenize("xy" * 100) == BertTokenizer(tokens, mode="google").tokenize("xy" * 100) != ["[UNK]"]
    assert google.tokenize("[SEP]") == ["[", "[UNK]", "]"]


def test_importing_reads_no_regex() -> None:
    program = "import sys, bert_numpy.tokenization; sys.exit('regex' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def damaged(folder, change):
    """A saved tokenizer whose tokenizer.json has been changed."""
    tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "A"])
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer_config.json").unlink()
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    change(content)
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda c: c["normalizer"].update(lowercase="false"), "do_lower_case"),
        (lambda c: c["normalizer"].update(strip_accents=0), "strip_accents"),
        (lambda c: c["model"].update(max_input_chars_per_word="x"), "max_input_chars_per_word"),
        (lambda c: c["model"].update(max_input_chars_per_word=True), "max_input_chars_per_word"),
        (lambda c: c["model"].update(unk_token=None), "unk_token"),
        (lambda c: c["added_tokens"][0].update(id="0"), "the id of the added token"),
        (lambda c: c["added_tokens"][0].update(content=None), "the content of an added token"),
    ],
)
def test_a_tokenizer_json_with_values_of_another_kind_is_refused_by_field(change, field, tmp_path):
    with pytest.raises(ValueError, match=field) as error:
        BertTokenizer.from_pretrained(damaged(tmp_path, change))
    assert "tokenizer.json" in str(error.value)


def test_a_key_that_stands_twice_is_refused(tmp_path):
    folder = damaged(tmp_path, lambda content: None)
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(text.replace('"a": 5', '"a": 5, "a": 7'), encoding="utf-8")
    with pytest.raises(ValueError, match="the key 'a' stands there twice"):
        BertTokenizer.from_pretrained(folder)


def test_clean_text_of_a_tokenizer_json_is_honoured(tmp_path):
    folder = damaged(tmp_path, lambda content: content["normalizer"].update(clean_text=False))
    assert BertTokenizer.from_pretrained(folder).clean_text is False


@pytest.mark.parametrize("split", [True, False])
def test_whether_special_tokens_are_split_survives_saving(split, tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
    tokenizer = BertTokenizer(words, split_special_tokens=split)
    tokenizer.save_pretrained(tmp_path)
    again = BertTokenizer.from_pretrained(tmp_path)
    assert again("[MASK] a")["input_ids"] == tokenizer("[MASK] a")["input_ids"]
    assert (4 in again("[MASK] a")["input_ids"]) is not split
