"""Valid files -> hostile ones: bytes, PNG chunks, JSON, YAML, tables; every step by one generator.

`python benchmarks/fuzz.py` uses it, and so do the tests of hostile input.
"""

import io
import json
import random
import re
import struct
import zipfile
import zlib

NUMBER = re.compile(rb"-?\d+(\.\d+)?")
DEEP = 5000

NUMBERS = (
    *(0, -1, 1, 2, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32, -(2**31), 2**63, 10**18),
    *(10**400, -(10**400), 1e7, 1e308, -1e308, 5e-324, 0.5, float("nan"), float("inf")),
)
TEXTS = (
    *("", " ", "cow", "\0", "a\nb", "\r", "\x1b[2J\x1b[31mred", "\x9b31m", "\u202eevil", "é", "é"),
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{7*7}}", "$\\frac$", "[/x]"),
    *("../../evil", "/etc/passwd", "C:\\evil", "\\\\host\\share", "x" * 300, "x" * 5000, "\ud800"),
    *("%00", "%s%n", "NaN", "1e999", "nan", "inf", "-inf", "9" * 5000, "0x" + "f" * 5000, "1:1:1"),
    *("=1+1", "~", "null", "true", "image.png", "b.png", "hf-hub:x/y", "local-dir:/tmp", "con"),
)
WORDS = tuple(
    text.encode("utf-8", "surrogatepass")
    for text in (
        *TEXTS,
        *("!!bool maybe", "!!python/object/apply:os.system ['id']", "&a [*a]", "*a", "<<: *a"),
        *("!!binary x", "!!timestamp x", "!!int x", "!!float x", "? [a, b]\n: c", "%YAML 9.9"),
        *("1:1:1:1:1:1", "0b111", "2001-99-99", "[" * 60, "{" * 60, "- " * 60, "<a>" * 50),
        *('<!DOCTYPE a [<!ENTITY b "c">]>', "&b;", "<![CDATA[", "\ufeff", "é" * 50),
    )
)
VALUES = (*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], {"a": []}, [None], [1, 2], [[1, 2]])


def mutated(data: bytes, kind: str, rng: random.Random) -> bytes:
    """A file of a kind (json, yaml, png, text, bytes) with one or a few things wrong."""
    by_kind = {"json": in_json, "yaml": in_yaml, "png": in_png, "text": in_text, "bytes": in_bytes}
    by_kind["zip"] = in_zip
    change = by_kind[kind] if rng.random() < 0.8 else in_bytes
    return change(data, rng)


def in_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bits flipped, parts lost, doubled, overwritten by extreme numbers, words put in."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(len(found) + 1)
        match rng.randrange(8):
            case 0 | 1 if found:
                found[at % len(found)] ^= 1 << rng.randrange(8)
            case 2 if found:
                found[at % len(found)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x22))
            case 3:
                del found[at : at + rng.choice((1, 2, 4, 16, 64, 1024))]
            case 4:
                found[at:at] = found[at : at + rng.choice((1, 4, 16, 256))]
            case 5:
                order, size = rng.choice("<>"), rng.choice("HIQ")
                top = 2 ** (8 * struct.calcsize(size)) - 1
                number = rng.choice((0, 1, top, top // 2, top // 2 + 1, 2**16 % (top + 1)))
                word = struct.pack(order + size, number)
                found[at : at + len(word)] = word
            case 6:
                found[at:at] = rng.choice(WORDS)
            case _:
                del found[at:]
    return bytes(found)


def in_text(data: bytes, rng: random.Random) -> bytes:
    """Numbers and words of a text replaced."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = [m.span() for m in re.finditer(rb"[^\s\"'<>=,;:\[\]{}()]+", data)]
        if not places:
            return in_bytes(data, rng)
        start, end = rng.choice(places)
        word = rng.choice(WORDS)
        if rng.random() < 0.5:
            word = str(rng.choice(NUMBERS)).encode()
        data = data[:start] + word + data[end:]
    return data


def in_json(data: bytes, rng: random.Random) -> bytes:
    """Values of a JSON document replaced, removed, doubled, buried deep."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return in_bytes(data, rng)
    for _ in range(rng.choice((1, 1, 2, 3))):
        content = _changed(content, rng)
    text = json.dumps(content)
    if rng.random() < 0.03:
        text = text.replace("0", "[" * DEEP + "]" * DEEP, 1)
    if rng.random() < 0.02:
        text = text.replace("1", "1" * DEEP, 1)
    return text.encode()


def in_yaml(data: bytes, rng: random.Random) -> bytes:
    """The same of YAML (JSON is YAML too), or words of it replaced, or a bomb put in."""
    import yaml  # noqa: PLC0415 - not needed elsewhere

    if rng.random() < 0.4:
        return in_text(data, rng)
    try:
        content = _changed(yaml.safe_load(data), rng)
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, TypeError):
        return in_bytes(data, rng)
    if rng.random() < 0.1:
        text += alias_bomb(rng.choice((3, 9)), key=rng.choice(("classes", "x", "values", "train")))
    return text.encode("utf-8", "surrogatepass")


def in_png(data: bytes, rng: random.Random) -> bytes:
    """Chunks of a PNG changed, their checksums set right, so that the decoder looks at them."""
    chunks = _chunks(data)
    if not chunks:
        return in_bytes(data, rng)
    at = rng.randrange(len(chunks))
    kind, content = chunks[at]
    match rng.randrange(5):
        case 0:
            content = in_bytes(content, rng)
        case 1 if kind == b"IHDR":
            sides = [rng.choice((0, 1, 2, 100, 20_000, 2**31 - 1, 2**32 - 1)) for _ in "wh"]
            rest = [rng.choice((0, 1, 2, 3, 4, 6, 8, 16)) for _ in range(2)]
            content = struct.pack(">IIBBBBB", *sides, *rest, 0, 0, rng.choice((0, 1)))
        case 1 | 2 if kind == b"IDAT":
            content = zlib.compress(in_bytes(_inflated(content), rng))
        case 3:
            kind = rng.choice((b"PLTE", b"tRNS", b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"gAMA"))
        case 4:
            chunks.insert(at, chunks[at])
    chunks[at] = (kind, content)
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in chunks)


def in_zip(data: bytes, rng: random.Random) -> bytes:
    """Members of a ZIP file called so that they lead elsewhere, or made links; or bytes changed."""
    if rng.random() < 0.5:
        return in_bytes(data, rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if rng.random() < 0.2:
                name = rng.choice(TEXTS).encode("utf-8", "replace").decode()
                member = zipfile.ZipInfo(name or "x")  # noqa: PLW2901
                member.external_attr = rng.choice((0, 0o120777 << 16, 0o644 << 16))
            new.writestr(member, content)
    return buffer.getvalue()


def alias_bomb(levels: int, *, key: str = "bomb", width: int = 10) -> str:
    """YAML of a few hundred bytes that stands for width ** levels values."""
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
    return "\n".join(["", *lines, f"{key}: [{', '.join([f'*a{levels - 1}'] * width)}]", ""])


def merge_bomb(levels: int, *, width: int = 10) -> str:
    """The same by merge keys."""
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * width)}]}}")
    return "\n".join(["", *lines, ""])


def png_bomb(width: int, height: int) -> bytes:
    """A black PNG: a thousandth of the bytes that it takes in memory."""
    rows, packer, packed = b"\0" * (width + 1), zlib.compressobj(9), []
    packed = [packer.compress(rows) for _ in range(height)]
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = b"".join([*packed, packer.flush()])
    parts = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _changed(content: object, rng: random.Random) -> object:
    """One value of a document changed; the document."""
    places = list(_places(content))
    if not places:
        return rng.choice(VALUES)
    parent, key = rng.choice(places)
    value = parent[key]
    match rng.randrange(7):
        case 0 | 1 | 2:
            parent[key] = rng.choice(VALUES)
        case 3:
            del parent[key]
        case 4 if isinstance(parent, list):
            parent.append(value)
        case 4:
            parent[rng.choice(TEXTS)] = value
        case 5:
            parent[key] = [value] if rng.random() < 0.5 else {"a": value}
        case _:
            parent[key] = str(value) if rng.random() < 0.5 else rng.choice(NUMBERS)
    return content


def _places(content: object):
    if isinstance(content, dict):
        for key, value in content.items():
            yield content, key
            yield from _places(value)
    elif isinstance(content, list):
        for index, value in enumerate(content[:200]):
            yield content, index
            yield from _places(value)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def _inflated(content: bytes) -> bytes:
    try:
        return zlib.decompress(content)
    except zlib.error:
        return content
