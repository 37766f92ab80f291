"""Files as ``torch.save`` writes them, assembled byte by byte without PyTorch: the right ones and the wrong ones.

A pickle is a program; each function here returns the bytes that leave one value on its stack.
"""

import io
import struct
import zipfile

import numpy as np

KINDS = {
    "f8": "Double", "f4": "Float", "f2": "Half", "c16": "ComplexDouble", "c8": "ComplexFloat",
    "i8": "Long", "i4": "Int", "i2": "Short", "i1": "Char", "u1": "Byte", "b1": "Bool",
}  # fmt: skip
FORMS = ("zip", "stream")
SIX = struct.pack("<6f", *range(6))
MAGIC = 0x1950A86A20F9469CFC6C
ORDERED = b"ccollections\nOrderedDict\n)R"


def text(value):
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def tuple_of(*items):
    return b"(" + b"".join(items) + b"t"


def list_of(*items):
    return b"](" + b"".join(items) + b"e"


def mapping(items, start=b"}"):
    """A dict; the values are programs already, the keys text unless they are programs."""
    pairs = items.items() if isinstance(items, dict) else items
    return start + b"(" + b"".join((k if isinstance(k, bytes) else text(k)) + v for k, v in pairs) + b"u"


def storage(form, kind, count, key="0", view=None):
    cls = name("torch.storage", "UntypedStorage") if kind == "Untyped" else name("torch", f"{kind}Storage")
    parts = [text("storage"), cls, text(key), text("cpu"), number(count)]
    if form == "stream":
        parts.append(b"N" if view is None else tuple_of(text(view[0]), number(view[1]), number(view[2])))
    return tuple_of(*parts) + b"Q"


def numbers(values):
    return tuple_of(*map(number, values))


def tensor(stored, shape, strides=None, offset=0, tail=b""):
    """``_rebuild_tensor_v2`` of a storage; ``tail`` adds arguments."""
    if strides is None:
        strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    arguments = [stored, number(offset), numbers(shape), numbers(strides), b"\x89", ORDERED, tail]
    return name("torch._utils", "_rebuild_tensor_v2") + tuple_of(*arguments) + b"R"


def program(value):
    return b"\x80\x02" + value + b"."


def zip_file(pickled, storages, byteorder="little", root="archive", compress=False, extra=(), align=64):
    """The zip form; like PyTorch, it lets the data begin at multiples of 64."""
    file = io.BytesIO()
    records = {"data.pkl": pickled}
    if byteorder is not None:
        records["byteorder"] = byteorder.encode()
    records |= {f"data/{key}": data for key, data in storages.items()}
    records["version"] = b"3\n"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        for record, data in [*((f"{root}/{key}", data) for key, data in records.items()), *extra]:
            info = zipfile.ZipInfo(record)
            info.compress_type = archive.compression
            padding = -(file.tell() + 30 + len(record) + 4) % align
            info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
            archive.writestr(info, data)
    return file.getvalue()


def stream_file(pickled, storages, counts, keys=None, byteorder="little"):
    """The form before it; ``counts`` maps the key of each storage to its number of elements."""
    keys = list(storages) if keys is None else keys
    facts = mapping({"protocol_version": number(1001), "little_endian": b"\x88" if byteorder == "little" else b"\x89"})
    head = [program(number(MAGIC)), program(number(1001)), program(facts), pickled]
    head.append(program(list_of(*map(text, keys))))
    return b"".join(head + [struct.pack("<q", counts[key]) + data for key, data in storages.items()])


def torch_file(form, arrays, byteorder="little", wrap=lambda state: state, bfloat16=(), **options):
    """A state dict of C-ordered arrays, one storage each; names in ``bfloat16`` hold uint16 bits of bfloat16."""
    values, storages, counts = {}, {}, {}
    for index, (key, array) in enumerate(arrays.items()):
        code = array.dtype.str[1:]
        stored = array.astype(array.dtype.newbyteorder(">" if byteorder == "big" and form == "zip" else "<"))
        kind = "BFloat16" if key in bfloat16 else KINDS[code]
        values[key] = tensor(storage(form, kind, array.size, str(index)), array.shape)
        storages[str(index)] = stored.tobytes()
        counts[str(index)] = array.size
    pickled = program(wrap(mapping(values, ORDERED)))
    if form == "zip":
        return zip_file(pickled, storages, byteorder, **options)
    return stream_file(pickled, storages, counts, byteorder=byteorder)


def one_tensor(form, value, data=SIX, count=6, **options):
    """A file whose pickle is ``value``, with one storage "0" of ``count`` elements."""
    if form == "zip":
        return zip_file(program(value), {"0": data}, **options)
    return stream_file(program(value), {"0": data}, {"0": count}, **options)
