"""What a recording is, in one hash: caches, checkpoints and results are keyed by it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from data.errors import DatasetError

BLOCK = 4096  # bytes of each sample of a large file
LARGE = 16 << 20  # bytes from which on samples are spread over a file


def fingerprint(root: Path, small: Sequence[Path], large: Sequence[Path]) -> str:
    """sha256 (hex) over the content of small files and over names, sizes and samples of large ones. Raises DatasetError."""
    digest = hashlib.sha256()
    base = root if root.is_dir() else root.parent
    for path in sorted(small):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DatasetError(f"{path} cannot be read ({error.strerror}); restore it from a copy") from error
        digest.update(f"{path.relative_to(base).as_posix()} {len(content)} ".encode())
        digest.update(hashlib.sha256(content).digest())
    for path in sorted(large):
        if path.exists():  # cameras that were left out may lie elsewhere
            digest.update(f"{path.relative_to(base).as_posix()} {path.stat().st_size} ".encode())
            digest.update(_samples(path))
    return digest.hexdigest()


def _samples(path: Path) -> bytes:
    """The end of a large file, and of a very large one blocks spread over it: another recording of the same size differs there."""
    size = path.stat().st_size
    starts = [max(0, size - BLOCK)] if size < LARGE else [int(i * (size - BLOCK) / 7) for i in range(8)]
    parts = []
    with path.open("rb") as file:
        for start in starts:
            file.seek(start)
            parts.append(file.read(BLOCK))
    return b"".join(parts)
