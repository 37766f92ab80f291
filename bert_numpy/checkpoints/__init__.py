"""Weights between files and ``{name: ndarray}``; this package knows file formats and names, but no models.

Read in this order: ``errors``, ``files`` and ``strict_json`` (the ground rules), ``safetensors_header``,
``bfloat16``, ``safetensors`` and ``sharded`` (the format of today); ``restricted_pickle``, ``torch_tensors``,
``zip_records`` and ``torch_pickle`` (files of torch.save); ``varint``, ``crc32c``, ``snappy``, ``tensorflow_table``,
``tensorflow_entries``, ``tensorflow_source``, ``tensorflow`` and ``tensorflow_names`` (Google's checkpoints);
``sniffing`` and ``loading`` (from a path to its reader), ``key_mapping`` (from the names in a file to the names of a
model).

``safetensors.load``, ``load_file``, ``save`` and ``save_file`` know one format; :func:`load_file` and
:func:`load_checkpoint` here find out for themselves what they are given.
"""

from . import key_mapping, safetensors
from .errors import CheckpointError, CheckpointNotFoundError
from .loading import load_checkpoint, load_file
from .sharded import load_sharded, save_sharded

__all__ = [
    "CheckpointError",
    "CheckpointNotFoundError",
    "key_mapping",
    "load_checkpoint",
    "load_file",
    "load_sharded",
    "safetensors",
    "save_sharded",
]
