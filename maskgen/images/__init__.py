"""Picture files: decoded upright to RGB, encoded the way their source was."""

from maskgen.images.decoding import Picture, decode, decode_rgba, name_of, read
from maskgen.images.encoding import LUMA, LUMA_WEIGHTS, Encoding, encode
from maskgen.images.opening import format_and_size
from maskgen.images.source import read_bytes

__all__ = [
    "LUMA",
    "LUMA_WEIGHTS",
    "Encoding",
    "Picture",
    "decode",
    "decode_rgba",
    "encode",
    "format_and_size",
    "name_of",
    "read",
    "read_bytes",
]
