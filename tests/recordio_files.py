"""A second reader and writer of RecordIO, from the format's description; shares no code with maskgen."""

import struct
from dataclasses import dataclass
from pathlib import Path

MAGIC = 0xCED7230A


@dataclass
class Record:
    flag: int
    labels: list
    id: int
    picture: bytes


def payloads(raw):
    """Offset -> payload, of all records of a file."""
    found, at = {}, 0
    while at < len(raw):
        start, pieces = at, []
        while True:
            magic, word = struct.unpack_from("<II", raw, at)
            assert magic == MAGIC
            kind, length = divmod(word, 1 << 29)
            assert kind in ((0, 1) if not pieces else (2, 3))
            pieces.append(raw[at + 8 : at + 8 + length])
            padding = (4 - length % 4) % 4
            assert raw[at + 8 + length : at + 8 + length + padding] == bytes(padding)
            at += 8 + length + padding
            if kind in (0, 3):
                break
        found[start] = struct.pack("<I", MAGIC).join(pieces)
    return found


def unpacked(payload):
    flag, label, id, _ = struct.unpack_from("<IfQQ", payload)
    labels = list(struct.unpack_from(f"<{flag}f", payload, 24)) if flag else [label]
    return Record(flag, labels, id, payload[24 + 4 * flag :])


def read_all(rec: Path):
    """Key -> record, in the order of the index, each where the index says."""
    found = payloads(rec.read_bytes())
    lines = [line.split("\t") for line in rec.with_suffix(".idx").read_text().splitlines()]
    assert sorted(found) == [int(offset) for _, offset in lines]
    return {int(key): unpacked(found[int(offset)]) for key, offset in lines}


def read_as_insightface(rec: Path):
    """[(label, picture)] by the ranges, as InsightFace's trainer walks them."""
    records = read_all(rec)
    header = records[0]
    assert header.flag == 2
    pictures = []
    for label, key in enumerate(range(*map(int, header.labels))):
        assert records[key].flag == 2
        for number in range(*map(int, records[key].labels)):
            assert records[number].labels[0] == label
            assert records[number].id == number
            pictures.append((label, records[number].picture))
    assert [key for key in records if 0 < key < int(header.labels[0])] == list(range(1, len(pictures) + 1))
    return pictures


def packed(label, picture, id=0, labels=None):
    """A payload."""
    if labels is None:
        return struct.pack("<IfQQ", 0, label, id, 0) + picture
    return struct.pack("<IfQQ", len(labels), 0, id, 0) + struct.pack(f"<{len(labels)}f", *labels) + picture


def record(payload):
    """A record; its payload is cut where a magic stands at a multiple of four."""
    magic = struct.pack("<I", MAGIC)
    pieces, piece = [], b""
    for at in range(0, len(payload), 4):
        word = payload[at : at + 4]
        if word == magic:
            pieces.append(piece)
            piece = b""
        else:
            piece += word
    pieces.append(piece)
    raw = b""
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        kind = 0 if len(pieces) == 1 else 1 if number == 0 else 3 if last else 2
        raw += magic + struct.pack("<I", kind << 29 | len(piece)) + piece + bytes(-len(piece) % 4)
    return raw


def write(folder: Path, numbered, name="train"):
    """A .rec and .idx of (key, payload); the offsets."""
    folder.mkdir(parents=True, exist_ok=True)
    raw, lines, offsets = b"", [], []
    for key, payload in numbered:
        lines.append(f"{key}\t{len(raw)}\n")
        offsets.append(len(raw))
        raw += record(payload)
    (folder / f"{name}.rec").write_bytes(raw)
    (folder / f"{name}.idx").write_text("".join(lines))
    return offsets


def insightface(labelled):
    """(key, payload) in InsightFace's layout, of (label, picture) in the order of labels."""
    numbered = [(key, packed(label, picture, key)) for key, (label, picture) in enumerate(labelled, start=1)]
    first = key = len(labelled) + 1
    for label in range(max((label for label, _ in labelled), default=-1) + 1):
        keys = [number for number, (one, _) in enumerate(labelled, start=1) if one == label] or [1, 0]
        numbered.append((key, packed(0, b"", key, [keys[0], keys[-1] + 1])))
        key += 1
    return [*numbered, (0, packed(0, b"", 0, [first, key]))]
