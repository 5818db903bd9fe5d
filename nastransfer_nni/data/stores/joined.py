"""Several stores as one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nastransfer_nni.data.stores.base import Store


class JoinedStore(Store):
    """The images of several stores, one store after the other.

    Args:
        stores: the stores.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = tuple(stores)
        self._ends = np.cumsum([len(store) for store in stores])
        keys = [store.known_keys for store in stores]
        known = [each for each in keys if each is not None]
        self.known_keys = np.concatenate(known) if len(known) == len(keys) else None

    def __len__(self) -> int:
        return int(self._ends[-1])

    def encoded(self, number: int) -> bytes:
        store, within = self._place(number)
        return store.encoded(within)

    def file_name(self, number: int) -> str:
        store, within = self._place(number)
        return store.file_name(within)

    @property
    def stamp(self) -> str:
        return hashlib.sha256("\0".join(store.stamp for store in self._stores).encode()).hexdigest()

    def fetch(self, numbers: npt.NDArray[np.int64]) -> tuple[Store, npt.NDArray[np.int64]]:
        which = np.searchsorted(self._ends, numbers, side="right")
        moved, stores, start = np.empty_like(numbers), [], 0
        for index, store in enumerate(self._stores):
            is_here = which == index
            fetched, new = store.fetch(numbers[is_here] - (self._ends[index] - len(store)))
            moved[is_here] = new + start
            start += len(fetched)
            stores.append(fetched)
        if all(new is old for new, old in zip(stores, self._stores, strict=True)):
            return self, numbers
        return JoinedStore(stores), moved

    def _place(self, number: int) -> tuple[Store, int]:
        index = int(np.searchsorted(self._ends, number, side="right"))
        return self._stores[index], int(number - (self._ends[index] - len(self._stores[index])))
