"""What kind of file is this? Decided by its bytes, never by its name.

Weight files are renamed, cut off, and replaced by web pages and Git LFS pointers; an extension proves
nothing. :func:`recognise` answers from the first 512 and the last 8 bytes. What is not here: the readers.
Read next: ``loading.py``, which sends a file to its reader.
"""

from typing import BinaryIO, NamedTuple

from .safetensors_header import SIZE_LIMIT


class FileKind(NamedTuple):
    """A kind of file: its name, what it is called in a message, and what the user can do about it."""

    name: str
    description: str
    remedy: str


_DOWNLOAD = "download the file again"
_ANY = "load_file of the package checkpoints reads it"
_CONVERT = "save its tensors as safetensors with the library that wrote it"

SAFETENSORS = FileKind("safetensors", "a safetensors file", "")
UNKNOWN = FileKind("unknown", "a file of no known kind", "a safetensors, torch or TensorFlow file was wanted")
EMPTY = FileKind("empty", "an empty file", _DOWNLOAD)
TORCH_ZIP = FileKind("torch-zip", "a zip archive, such as torch.save writes", _ANY)
TORCH_LEGACY = FileKind("torch-legacy", "a pickle, such as torch.save wrote before PyTorch 1.6", _ANY)
TORCH_TAR = FileKind("torch-tar", "a tar archive, such as the first PyTorch releases wrote", _CONVERT)
TENSORFLOW_INDEX = FileKind("tensorflow-index", "an index file of a TensorFlow checkpoint", _ANY)
GZIP = FileKind("gzip", "a gzip archive", "unpack it first")
JSON = FileKind("json", "JSON text", "pass the weight file or the folder that holds it")
WEB_PAGE = FileKind("web-page", "a web page, not weights", _DOWNLOAD + " from the address of the file itself")
LFS_POINTER = FileKind("lfs-pointer", "a Git LFS pointer, not the weights", "run `git lfs pull`")

_BINARY = (
    (b"PK\x03\x04", TORCH_ZIP),
    (b"PK\x05\x06", TORCH_ZIP),  # a zip archive without entries
    (b"\x80", TORCH_LEGACY),
    (b"\x1f\x8b", GZIP),
)
_TEXT = (  # after white space, in lower case
    (b"{", JSON),
    (b"<!doctype html", WEB_PAGE),
    (b"<html", WEB_PAGE),
    (b"version https://git-lfs", LFS_POINTER),
)
_TAR_MAGIC_AT = 257
_TABLE_MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")  # ends every LevelDB table, and so TensorFlow's index


def recognise(file: BinaryIO, size: int) -> FileKind:
    """Name the kind of an open file of ``size`` bytes; the position afterwards is 0.

    Examples
    --------
    >>> import io
    >>> recognise(io.BytesIO(b"PK\\x03\\x04......"), 10).name
    'torch-zip'
    >>> recognise(io.BytesIO(b"\\x80\\x02" + bytes(6) + b"{}"), 10).name
    'safetensors'
    """
    head = file.read(512)
    file.seek(max(0, size - 8))
    tail = file.read(8)
    file.seek(0)
    # First of all, because a header length may look like another format's magic number: 0x80 is a pickle's.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= SIZE_LIMIT:
        return SAFETENSORS
    if len(head) <= 8:  # a fragment of any format; it would be named at random
        return UNKNOWN if head else EMPTY
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magics, start in ((_BINARY, head), (_TEXT, text)):
        for magic, kind in magics:
            if start.startswith(magic):
                return kind
    if head[_TAR_MAGIC_AT:].startswith(b"ustar"):
        return TORCH_TAR
    return TENSORFLOW_INDEX if tail == _TABLE_MAGIC else UNKNOWN
