"""The binary resource files (`.rcc`) that Qt programs keep their pictures in."""

import struct
import zlib
from collections.abc import Iterator

_MAGIC = b"qres"
_COMPRESSED, _DIRECTORY, _ZSTD = 1, 2, 4
_MAX_BYTES = 1 << 28  # of one resource when decompressed


def read_resources(contents: bytes) -> Iterator[tuple[str, bytes | None]]:
    """Walk the files in a `.rcc` file, versions 1 to 3.

    After the header (`qres` and big-endian 32-bit numbers: version, and the offsets of tree, data
    and names) the tree is an array of nodes: name offset, 16-bit flags, then for a directory the
    number and the index of its children, else 32 bits of locale and a data offset; from version 2
    on a 64-bit time ends each. A name is a 16-bit length, a hash and UTF-16; data is a length and
    bytes, plain, zlib's after a length, or Zstandard's.

    Args:
        contents: the bytes of the file.

    Yields:
        The path of each file, without a leading slash, and its bytes; None in place of bytes that
        are compressed by Zstandard, which the standard library can't read before Python 3.14, or
        damaged.

    Raises:
        ValueError: the header or the tree is not that of a `.rcc` file.

    References:
        Qt 6, qtbase/src/corelib/io/qresource.cpp and qtbase/src/tools/rcc/rcc.cpp.
    """
    try:
        yield from _walk(contents)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"not a Qt resource file ({error})") from None


def _walk(contents: bytes) -> Iterator[tuple[str, bytes | None]]:
    magic, version, tree, data, names = struct.unpack_from(">4s4I", contents)
    if magic != _MAGIC or version not in (1, 2, 3):
        raise ValueError("not a Qt resource file of version 1 to 3")
    node_size = 14 if version == 1 else 22
    waiting, seen = [(0, "")], set()
    while waiting:
        node, parent = waiting.pop()
        if node in seen:
            raise ValueError("not a Qt resource file (its tree has a loop)")
        seen.add(node)
        name, flags, first, second = struct.unpack_from(">IHII", contents, tree + node * node_size)
        path = f"{parent}/{_name(contents, names + name)}" if node else ""
        if flags & _DIRECTORY:
            # Bounded by what the file could hold, whatever it says.
            count = min(first, len(contents) // node_size)
            waiting += [(child, path) for child in reversed(range(second, second + count))]
            continue
        (length,) = struct.unpack_from(">I", contents, data + second)
        start = data + second + 4
        yield path.lstrip("/"), _decompress(contents[start : start + length], flags)


def _name(contents: bytes, at: int) -> str:
    (length,) = struct.unpack_from(">H", contents, at)
    return contents[at + 6 : at + 6 + 2 * length].decode("utf-16-be")


def _decompress(raw: bytes, flags: int) -> bytes | None:
    if flags & _ZSTD:
        return None
    if not flags & _COMPRESSED:
        return raw
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(raw[4:], _MAX_BYTES)
    except zlib.error:
        return None
    return plain if stream.eof else None
