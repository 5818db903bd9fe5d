"""Keys of images: 64-bit numbers by which manifests identify images, however their set is stored.

If a set names its images (ImageNet's `n01440764_10026`), the key is a hash of that name. Otherwise it is a
hash of the content: of the pixels for lossless formats, so that a PNG file from another encoder is still the
same image, and of the file for lossy formats, whose pixels depend on the decoder.
"""

from __future__ import annotations

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from nastransfer_nni.base.files import replacing
from nastransfer_nni.data import hashing
from nastransfer_nni.data.decode import UnreadableImage, decode
from nastransfer_nni.data.stores.base import Store
from search_spaces.cache import cache_folder

_LOSSY = (b"\xff\xd8\xff", b"RIFF")  # JPEG, WebP
_PIECE = 4096


def content_key(content: bytes) -> int:
    """The key of an image file: hash of its pixels if the format is lossless, else of its bytes."""
    if content.startswith(_LOSSY):
        return hashing.key_of(content)
    try:
        image = decode(content)
    except UnreadableImage:  # it needs a key all the same, and is reported when it is decoded
        return hashing.key_of(content)
    return hashing.key_of(f"{image.width}x{image.height}:".encode() + image.tobytes())


def _key_of(store: Store, number: int) -> int:
    """The key of an image in a store; one whose file cannot be read needs a key all the same."""
    try:
        return content_key(store.encoded(number))
    except OSError:
        return hashing.key_of(f"unreadable: {store.file_name(number)!a}")


def named_key(name: str, identifier: str | None) -> int | None:
    """The key of an image whose file name contains a match of `identifier`; None if it does not."""
    named = re.search(identifier, name) if identifier else None
    return hashing.key_of(named.group()) if named else None


def store_keys(store: Store, identifier: str | None) -> hashing.Keys:
    """The key of every image in a store, uint64 [len(store)]; computed once and then cached.

    Args:
        store: encoded images.
        identifier: regular expression for the set's own names of its images; None: it has none.
    """
    if store.known_keys is not None:
        return store.known_keys
    kept = cache_folder("keys") / f"{hashing.key_of(f'{store.stamp}:{identifier}'):016x}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):  # missing or damaged
        known = np.load(kept, allow_pickle=False)
        if known.shape == (len(store),):  # else they are of a release that found other images in the files
            return known  # type: ignore[no-any-return]

    def piece(start: int) -> list[int]:
        numbers = range(start, min(start + _PIECE, len(store)))
        names = [store.file_name(number) if identifier else "" for number in numbers]
        return [
            named_key(name, identifier) or _key_of(store, number)
            for name, number in zip(names, numbers, strict=True)
        ]

    with ThreadPoolExecutor() as pool:
        found = [np.array(part, dtype=np.uint64) for part in pool.map(piece, range(0, len(store), _PIECE))]
    keys = np.concatenate(found) if found else np.zeros(0, dtype=np.uint64)
    with replacing(kept) as scratch, scratch.open("wb") as file:
        np.save(file, keys)
    return keys
