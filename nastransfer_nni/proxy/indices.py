"""Lists of images that other tools write and read: positions or keys, as text or as a NumPy array."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nastransfer_nni.base.files import replacing, write_text
from nastransfer_nni.base.reading import read_text
from search_spaces.errors import UserError

_KEY_DIGITS = 16


class Indices(NamedTuple):
    """Images of a set.

    Attributes:
        kind: `positions` in the order in which the set is stored, from 0 on, or `keys`.
        values: the positions or keys, uint64 [n].
    """

    kind: Literal["positions", "keys"]
    values: npt.NDArray[np.uint64]


def read(path: Path) -> Indices:
    """Read a list of images; nothing in the file is executed.

    Args:
        path: a `.npy` file with unsigned 64-bit numbers (keys) or other integers (positions), or a text file
            with a position or a key of 16 hexadecimal digits on each line.

    Raises:
        UserError: the file cannot be read, is empty, or has something else in it.
    """
    found = _read_array(path) if path.suffix == ".npy" else _read_text(path)
    if not len(found.values):
        raise UserError(f"{path} lists no images")
    return found


def write(indices: Indices, path: Path) -> None:
    """Write a list of images in the form that `read` takes.

    Args:
        indices: the images.
        path: a `.npy` file, or a text file of any other name.
    """
    if path.suffix == ".npy":
        numbers = indices.values if indices.kind == "keys" else indices.values.astype(np.int64)
        with replacing(path) as scratch, scratch.open("wb") as file:
            np.save(file, numbers, allow_pickle=False)
        return
    form = f"0{_KEY_DIGITS}x" if indices.kind == "keys" else "d"
    write_text(path, "".join(f"{value:{form}}\n" for value in indices.values.tolist()))


def _read_array(path: Path) -> Indices:
    try:
        numbers = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"cannot read {path} as a NumPy array without pickled objects ({error})") from None
    if not isinstance(numbers, np.ndarray) or numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise UserError(f"{path} must be an array of one dimension with integers")
    if numbers.dtype == np.uint64:
        return Indices("keys", numbers)
    if len(numbers) and numbers.min() < 0:
        raise UserError(f"{path}: positions count from 0 (got {numbers.min()})")
    return Indices("positions", numbers.astype(np.uint64))


def _read_text(path: Path) -> Indices:
    try:
        words = [line.strip() for line in read_text(path).splitlines()]
    except UserError as error:
        raise UserError(f"{path} {error}") from None
    numbered = [(number, word) for number, word in enumerate(words, 1) if word]
    values, has_keys = [], bool(numbered) and len(numbered[0][1]) == _KEY_DIGITS
    for number, word in numbered:
        try:
            if (len(word) == _KEY_DIGITS) != has_keys or not word.isalnum():
                raise ValueError
            values.append(int(word, 16 if has_keys else 10))
        except ValueError:
            expected = f"a key of {_KEY_DIGITS} hexadecimal digits" if has_keys else "a position from 0 on"
            raise UserError(f"{path}, line {number}: expected {expected}, got {word[:40]!r}") from None
    return Indices("keys" if has_keys else "positions", np.array(values, dtype=np.uint64))
