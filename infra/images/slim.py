"""Takes out of an environment what no program needs to run: packages' own tests, headers, a second copy of onnxruntime
for programs in C, and what a debugger reads of shared libraries.

Run inside a build with the image's own interpreter: `slim.py SITE_PACKAGES`.
"""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path

UNUSED = (
    "clang/native",  # libclang, which TensorFlow declares and nothing imports
    "google/genai/tests",
    "numpy/**/tests",
    "onnx/backend/test",
    "onnxruntime/capi/libonnxruntime.so.*",  # Python's module holds the runtime itself
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "pandas/tests",
    "pyarrow/include",
    "pyarrow/tests",
    "scipy/**/tests",
    "sklearn/**/tests",
    "tensorflow/include",
)
_LEAST = 64 * 1024
"""Bytes for which a library is worth another copy."""


def main(home: Path) -> None:
    """Takes them out of `home`."""
    for place in [place for pattern in UNUSED for place in home.glob(pattern)]:
        if place.is_dir():
            shutil.rmtree(place)
        elif place.exists():
            place.unlink()
    for library in home.rglob("*.so*"):
        if library.is_file() and not library.is_symlink():
            before = library.read_bytes()
            after = undebugged(before)
            if len(before) - len(after) >= _LEAST:
                library.write_bytes(after)


def undebugged(library: bytes) -> bytes:
    """An ELF file of 64 bits, little endian, up to the end of what its program headers name; other bytes as they are.

    What stands behind that, symbols and sections, is for linkers and debuggers: the loader maps segments and looks up
    names in the dynamic section, which lies in one of them (System V ABI, chapter 5).
    """
    if library[:6] != b"\x7fELF\x02\x01":
        return library
    (headers,) = struct.unpack_from("<Q", library, 0x20)
    size, count = struct.unpack_from("<HH", library, 0x36)
    end = headers + size * count
    for header in range(headers, end, size):
        (offset,) = struct.unpack_from("<Q", library, header + 0x08)
        (length,) = struct.unpack_from("<Q", library, header + 0x20)
        end = max(end, offset + length)
    cut = bytearray(library[:end])
    struct.pack_into("<Q", cut, 0x28, 0)  # where the sections are listed,
    struct.pack_into("<HH", cut, 0x3C, 0, 0)  # how many there are, and which one holds their names
    return bytes(cut)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
