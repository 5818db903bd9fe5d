"""Sets that do not fit the disk: one pass reads labels and keys, a second one fetches the selected images.

The results of both passes are cached; those of the first in parts, so that an interrupted pass can resume.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nastransfer_nni.base.files import digest, replacing, write_json
from nastransfer_nni.base.reading import read_object
from nastransfer_nni.data import hashing
from nastransfer_nni.data.keys import content_key, named_key
from nastransfer_nni.data.stores.arrow import ArrowStore
from nastransfer_nni.data.stores.base import Store
from search_spaces.cache import cache_folder
from search_spaces.errors import UserError

_PART = 20_000
VERSION = 2
"""Version of the cached parts: the first had equal keys for images that are files."""
_log = logging.getLogger(__name__)


class StreamStore(Store):
    """A column of images in a streamed `datasets.IterableDataset`; images are stored by `fetch` only.

    Args:
        open_stream: opens the stream, whose order is always the same.
        image: name of the image column.
        label: name of the label column.
        name: name of the set and split, for messages.
        stamp: text that changes when the set changes.
        identifier: regular expression for the set's own names of its images; None: it has none.

    Attributes:
        words: label of every image as a text, str [N]; empty where it has none.
    """

    def __init__(
        self,
        open_stream: Callable[[], Any],
        image: str,
        label: str,
        name: str,
        stamp: str,
        identifier: str | None,
    ) -> None:
        self._open_stream, self._image, self._label, self._name = open_stream, image, label, name
        self._folder = cache_folder("streams") / digest([stamp, image, label, identifier, VERSION], 16)
        self._folder.mkdir(exist_ok=True)
        self._index(identifier)
        parts = [np.load(part, allow_pickle=False) for part in self._parts()]
        self.known_keys = np.concatenate([np.zeros(0, np.uint64), *(part["keys"] for part in parts)])
        self.words: npt.NDArray[np.str_] = np.concatenate(
            [np.zeros(0, "U1"), *(part["labels"] for part in parts)]
        )

    def __len__(self) -> int:
        return len(self.words)

    def encoded(self, number: int) -> bytes:
        raise UserError(
            f"{self._name} is streamed, so its images are not on this machine: select a proxy set of it, or "
            "make room on the disk"
        )

    def file_name(self, number: int) -> str:
        return ""

    @property
    def stamp(self) -> str:
        return f"{self._folder.name}:{len(self)}"

    def fetch(self, numbers: npt.NDArray[np.int64]) -> tuple[ArrowStore, npt.NDArray[np.int64]]:
        """Write the images `numbers` (int64 [n]) to the disk.

        Returns:
            A store with these images, and their numbers in it, int64 [n].
        """
        import datasets
        import pyarrow

        wanted = np.unique(numbers)
        path = self._folder / f"{hashing.key_of(wanted.tobytes()):016x}.arrow"
        if not path.is_file():
            _log.info("fetching %d of %d images of %s", len(wanted), len(self), self._name)
            kind = pyarrow.schema(
                {"image": pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})}
            )
            rest = iter(wanted.tolist())
            upcoming = next(rest, None)
            with replacing(path) as scratch, pyarrow.ipc.new_stream(str(scratch), kind) as writer:
                for number, example in enumerate(self._stream()):
                    if number == upcoming:
                        image = example[self._image] or {}
                        stored = {"bytes": self._content(image), "path": image.get("path")}
                        writer.write_batch(pyarrow.RecordBatch.from_pylist([{"image": stored}], kind))
                        upcoming = next(rest, None)
                        if upcoming is None:
                            break
        return ArrowStore(datasets.Dataset.from_file(str(path)), "image"), np.searchsorted(wanted, numbers)

    def _stream(self) -> Any:
        import datasets

        plain = self._open_stream().cast_column(self._image, datasets.Image(decode=False))
        return plain.select_columns([self._image, self._label])

    def _content(self, image: dict[str, Any]) -> bytes:
        """The bytes of an image, which may be a file.

        Raises:
            UserError: it is a file by a relative name.
        """
        content, path = image.get("bytes"), image.get("path") or ""
        if content is not None or not path:
            return content or b""
        if "://" not in path and not Path(path).is_absolute():
            raise UserError(f"{self._name}: images are files, such as {path}; leave out @stream=yes")
        from datasets.utils.file_utils import xopen

        with xopen(path, "rb") as file:
            read: bytes = file.read()
            return read

    def _parts(self) -> list[Path]:
        return sorted(self._folder.glob("part-*.npz"))

    def _index(self, identifier: str | None) -> None:
        """Read keys and labels from the stream, starting after the last cached part."""
        state = self._folder / "state.json"
        done: dict[str, Any] = read_object(state) or {"parts": 0, "stream": None}
        if done["parts"] and done["stream"] is None:
            return
        stream = self._stream()
        if done["stream"] is not None:
            stream.load_state_dict(done["stream"])
        number = done["parts"]
        for keys, labels in self._chunks(stream, identifier):
            with replacing(self._folder / f"part-{number:06d}.npz") as scratch, scratch.open("wb") as file:
                np.savez(file, keys=np.array(keys, dtype=np.uint64), labels=np.array(labels, dtype=np.str_))
            number += 1
            write_json(state, {"parts": number, "stream": stream.state_dict()})
            _log.info("%s: %d images seen", self._name, number * _PART)
        write_json(state, {"parts": number, "stream": None})

    def _chunks(self, stream: Any, identifier: str | None) -> Iterator[tuple[list[int], list[str]]]:
        keys: list[int] = []
        labels: list[str] = []
        for example in stream:
            image = example[self._image] or {}
            name = named_key(image.get("path") or "", identifier)
            keys.append(name or content_key(self._content(image)))
            label = example[self._label]
            labels.append("" if label is None else str(label))
            if len(keys) == _PART:
                yield keys, labels
                keys, labels = [], []
        if keys:
            yield keys, labels
