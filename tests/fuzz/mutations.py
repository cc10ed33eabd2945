"""Damage done to sound files and texts: each a function of a seeded ``random.Random``, so that a seed repeats it."""

import copy
import gzip
import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

import yaml

Mutation = Callable[[bytes, Random], bytes]

_NUMBERS = (0, 1, -1, 2, 7, 127, 255, 256, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**62, 2**63 - 1)
_FLOATS = (0.0, -0.0, 1e-45, 1e-300, 1e38, 1e308, float("nan"), float("inf"), -float("inf"), -1.0, 0.5)
_TEXTS = (
    *("", " ", "\0", "a\0b", "\ufeff", "\u202eabc", "é", "e\u0301", "😀", "\ud800", "x" * 5000, "../../../etc/passwd"),
    *("/dev/zero", "/", "~", "~root", "~nobody", "C:\\x\\y", "nan", "NaN", "inf", "-1", "1e999", "9" * 400, "0x10"),
    *("true", "null", "None", "[]", "{}", "'", '"', "%s", "${oc.env:HOME}", "${seed}", "???", "١", "1_000", "--help"),
    *(
        "__class__",
        "_target_",
        "os.system",
        "planted.Planted",
        "*",
        "[",
        "a,b",
        "a;b",
        "a\tb",
        "a\nb",
        "\r\n",
        "|",
        ".",
    ),
)


def damage_bytes(content: bytes, draw: Random) -> bytes:
    """Truncate, flip, overwrite, insert, remove, repeat or exchange some bytes, mostly near the beginning."""
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        draw.choice(_BYTE_ACTS)(damaged, draw)
    return bytes(damaged)


def damage_gzip(content: bytes, draw: Random) -> bytes:
    """Damage what is compressed, and one time in four the compressed bytes."""
    if draw.random() < 0.25:
        return damage_bytes(content, draw)
    return gzip.compress(damage_bytes(gzip.decompress(content), draw), compresslevel=1)


def damage_text(content: bytes, draw: Random) -> bytes:
    """Replace, remove, repeat or exchange words and lines; one time in six damage the bytes."""
    if draw.random() < 1 / 6:
        return damage_bytes(content, draw)
    lines = content.decode("utf-8", "replace").split("\n")
    for _ in range(draw.choice((1, 1, 2, 4))):
        _damage_line(lines, draw)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def damage_json(content: bytes, draw: Random) -> bytes:
    """Replace, remove, add or rename parts of a JSON document; one time in six damage its text."""
    if draw.random() < 1 / 6:
        return damage_text(content, draw)
    return json.dumps(_damaged_tree(json.loads(content), draw)).encode()


def damage_yaml(content: bytes, draw: Random) -> bytes:
    """Do the same to a YAML document."""
    if draw.random() < 1 / 6:
        return damage_text(content, draw)
    tree = _damaged_tree(yaml.safe_load(content), draw)
    try:
        return yaml.safe_dump(tree, sort_keys=False).encode("utf-8", "replace")
    except RecursionError:  # too deep for the writer, not for the reader, which takes JSON too
        return json.dumps(tree).encode()


def odd_value(draw: Random, depth: int = 0) -> Any:
    """Return a value of JSON of any type, some of them nested, huge or odd."""
    kind = draw.randrange(8 if depth < 4 else 5)
    if kind == 7:
        return {_odd_key(draw): odd_value(draw, depth + 1) for _ in range(draw.randrange(4))}
    if kind == 6:
        return [odd_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    if kind == 5:
        return _nested(draw.choice((3, 50, 400)))
    return (None, draw.random() < 0.5, draw.choice((*_NUMBERS, 10**30)), draw.choice(_FLOATS), draw.choice(_TEXTS))[
        kind
    ]


def odd_text(draw: Random) -> str:
    """Return an odd text."""
    return draw.choice(_TEXTS)


def _odd_key(draw: Random) -> str:
    return draw.choice((*_TEXTS[:20], "_target_", "dice", "mean", "train", "0", "label"))


def _nested(depth: int) -> Any:
    value: Any = 0
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def _place(damaged: bytearray, draw: Random) -> int:
    """Return a place, in three of four draws within the first 600 bytes, where headers lie."""
    length = max(1, len(damaged))
    return draw.randrange(min(length, 600)) if draw.random() < 0.75 else draw.randrange(length)


def _truncate(damaged: bytearray, draw: Random) -> None:
    del damaged[_place(damaged, draw) :]


def _flip(damaged: bytearray, draw: Random) -> None:
    if damaged:
        damaged[_place(damaged, draw)] ^= 1 << draw.randrange(8)


def _overwrite(damaged: bytearray, draw: Random) -> None:
    at, length = _place(damaged, draw), draw.choice((1, 2, 4, 16, 300))
    damaged[at : at + length] = draw.choice((bytes(length), b"\xff" * length, draw.randbytes(length)))


def _write_number(damaged: bytearray, draw: Random) -> None:
    """Write an extreme number of one of the types of headers at a place where such a field may begin."""
    code = draw.choice("bBhHiIqQfd")
    order, at = draw.choice("<>"), _place(damaged, draw) // 2 * 2
    if code in "fd":
        value: float = draw.choice(_FLOATS) if code == "d" else draw.choice((0.0, 1e38, float("nan"), float("inf")))
        field = struct.pack(order + code, value)
    else:
        size = struct.calcsize(order + code)
        field = (draw.choice(_NUMBERS) & (256**size - 1)).to_bytes(size, "little" if order == "<" else "big")
    damaged[at : at + len(field)] = field


def _insert(damaged: bytearray, draw: Random) -> None:
    at = _place(damaged, draw)
    damaged[at:at] = draw.choice((b"\0", b"\n", b"\xff", draw.randbytes(3), bytes(100), b"[" * 2000))


def _remove(damaged: bytearray, draw: Random) -> None:
    at = _place(damaged, draw)
    del damaged[at : at + draw.choice((1, 2, 4, 50, 2000))]


def _repeat(damaged: bytearray, draw: Random) -> None:
    at = _place(damaged, draw)
    damaged[at:at] = damaged[at : at + draw.choice((2, 8, 128))]


def _exchange(damaged: bytearray, draw: Random) -> None:
    length = draw.choice((1, 2, 4, 8))
    first, second = sorted((_place(damaged, draw), _place(damaged, draw)))
    if second >= first + length and second + length <= len(damaged):
        left, right = damaged[first : first + length], damaged[second : second + length]
        damaged[first : first + length], damaged[second : second + length] = right, left


_BYTE_ACTS = (_truncate, _flip, _flip, _overwrite, _write_number, _write_number, _insert, _remove, _repeat, _exchange)


def _damage_line(lines: list[str], draw: Random) -> None:
    at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    act = draw.randrange(8)
    if act == 0:
        lines[at], lines[other] = lines[other], lines[at]
    elif act == 1:
        lines.insert(at, lines[other])
    elif act == 2 and len(lines) > 1:
        del lines[at]
    elif act == 3:
        lines[at] += odd_text(draw)
    elif act == 4:
        lines[at] = draw.choice("[{(<\"'") * draw.choice((1, 10, 3000)) + lines[at]
    else:
        separator = draw.choice(" ,:=;\t")
        words = lines[at].split(separator)
        words[draw.randrange(len(words))] = draw.choice((odd_text(draw), str(draw.choice(_NUMBERS + _FLOATS))))
        lines[at] = separator.join(words)


def _damaged_tree(tree: Any, draw: Random) -> Any:
    """Return a copy of nested containers in which some nodes are replaced, removed, added or renamed."""
    holder = [copy.deepcopy(tree)]
    for _ in range(draw.choice((1, 1, 2, 4))):
        node: Any = holder
        key: Any = 0
        while isinstance(node[key], dict | list) and node[key] and draw.random() < 0.8:
            node = node[key]
            key = draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
        act = draw.randrange(6)
        if act == 0 and node is not holder:
            del node[key]
        elif act == 1 and isinstance(node, dict):
            node[_odd_key(draw)] = node.pop(key)
        elif act == 2 and isinstance(node, dict):
            node[_odd_key(draw)] = odd_value(draw)
        elif act == 2 and node is not holder:
            node.insert(key, odd_value(draw))
        else:
            node[key] = odd_value(draw)
    return holder[0]
