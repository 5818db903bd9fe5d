"""Random orders that are the same on every machine, with every library version and storage order.

Such an order comes from the keys of the images, mixed with a seed by SplitMix64's finalizer (Steele, Lea and
Flood, 2014), never from a library's random stream, which may change between releases.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Step of the counter of SplitMix64: successive numbers are `mix(state)`, `mix(state + GOLDEN)`, ..."""


def mix(keys: Keys) -> Keys:
    """SplitMix64 of every key, uint64 [N]: a bijection of 64-bit numbers that looks random."""
    mixed = keys + GOLDEN
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def key_of(content: bytes | str) -> int:
    """The first 64 bits of the SHA-256 of `content`."""
    data = content.encode() if isinstance(content, str) else content
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def keys_of(names: list[str] | tuple[str, ...]) -> Keys:
    """`key_of` of each name, uint64 [N]."""
    return np.fromiter((key_of(name) for name in names), dtype=np.uint64, count=len(names))


def seeded(keys: Keys, seed: int, purpose: str = "") -> Keys:
    """A pseudorandom number per key, uint64 [N]; other seeds and purposes give unrelated numbers."""
    return mix(keys ^ np.uint64(key_of(f"{purpose}:{seed}")))


def uniform(keys: Keys, seed: int, purpose: str = "") -> npt.NDArray[np.float64]:
    """A pseudorandom number in (0, 1) per key, float64 [N]."""
    numbers = (seeded(keys, seed, purpose) >> np.uint64(11)).astype(np.float64)
    numbers += 0.5
    numbers *= 2.0**-53
    return numbers


def number(seed: int, *purpose: object) -> int:
    """A 63-bit seed for one purpose, for example `number(seed, "epoch", 3)`."""
    return key_of(":".join(map(str, (seed, *purpose)))) >> 1


def by_class(labels: npt.NDArray[np.integer], ranks: Keys, num_classes: int) -> Rows:
    """Rows sorted by label and, within a label, by rank, int64 [N].

    Label and rank are packed into one 64-bit number, so that a single sort of integers is enough for 14
    million images. Ranks are compared by the upper bits that fit next to the label.

    Args:
        labels: class of each row, [N].
        ranks: sort key within a class, uint64 [N].
        num_classes: number of classes.
    """
    bits = max(num_classes - 1, 1).bit_length()
    joint = ranks >> np.uint64(bits)
    joint |= labels.astype(np.uint64) << np.uint64(64 - bits)
    return np.argsort(joint)
