"""Folders that describe themselves to `datasets`: opened by the library, with its splits and its labels.

They have files named metadata.csv, .jsonl or .parquet with labels of image files, a README.md that lists the
files of configurations and splits, or a storage form that only the library reads.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nastransfer_nni.data import hub, parts
from nastransfer_nni.data.image_folder import visible
from nastransfer_nni.data.image_set import ImageSet
from nastransfer_nni.data.sources import Source
from nastransfer_nni.data.stores.base import stamp_of
from search_spaces.errors import UserError


class Unreadable(UserError):
    """The library cannot read a folder."""


METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_CARD = re.compile(r"\A---\s*\n.*?^(configs|dataset_info)\s*:.*?^---\s*$", re.MULTILINE | re.DOTALL)
_CARD_BYTES = 1 << 20


@dataclass(frozen=True)
class Description:
    """A folder as the library reads it.

    Attributes:
        folder: the folder.
        form: the library's reader: `imagefolder`, `parquet`, `webdataset`, ...
        files: the files of each split, by the folder's own names of its splits.
    """

    folder: Path
    form: str
    files: Mapping[str, tuple[Path, ...]]


def has_card(folder: Path) -> bool:
    """Whether a README.md or .huggingface.yaml lists the files of a folder."""
    try:
        with (folder / "README.md").open("rb") as card:
            text = card.read(_CARD_BYTES).decode("utf-8", errors="replace")
    except OSError:
        text = ""
    return bool(_CARD.match(text)) or (folder / ".huggingface.yaml").is_file()


def has_metadata(folder: Path) -> bool:
    """Whether a folder, a part in it or a part in its folder `data` has a file with labels of image files."""
    places = [folder]
    for parent in (folder, folder / "data"):
        if parent.is_dir():
            places += [path for path in visible(parent) if path.is_dir() and _may_be_part(path.name)]
    return any((place / name).is_file() for place in (*places, folder / "data") for name in METADATA)


def _may_be_part(name: str) -> bool:
    return any(word in name.lower() for words in parts.WORDS.values() for word in words)


def describe(source: Source, folder: Path) -> Description:
    """Ask the library what a folder holds.

    Raises:
        Unreadable: the library cannot read the folder.
        UserError: the folder has several configurations, or not the one that `source` names.
    """
    import datasets  # slow to import

    with _errors(folder):
        configs = datasets.get_dataset_config_names(str(folder))
        default = datasets.get_dataset_default_config_name(str(folder))
        if source.config not in configs if source.config else len(configs) > 1 and default is None:
            raise UserError(
                f"{folder} has the configurations {', '.join(configs)}: add one of them to its name, as in "
                f"@config={configs[0]}"
            )
        builder = datasets.load_dataset_builder(str(folder), source.config)
        files = builder.config.data_files or {}
        form = type(builder).__module__.rpartition(".")[2]
        return Description(
            folder, form, {str(split): tuple(map(Path, found)) for split, found in files.items()}
        )


def load(source: Source, description: Description, split: str) -> ImageSet:
    """Open one split of a folder with the library.

    Raises:
        UserError: the folder does not have the split or a column, or the library cannot read it.
    """
    import datasets

    theirs = parts.pick(source.name, split, description.files)
    files = description.files[theirs]
    name = str(description.folder)
    open_stream = partial(datasets.load_dataset, name, source.config, split=theirs, streaming=True)
    size = sum(file.stat().st_size for file in files if file.is_file())
    copies_names = description.form == "imagefolder"  # and leaves the images where they are
    if source.stream or (not copies_names and hub.too_big(size)):
        with _errors(description.folder):
            return hub.from_stream(source, split, open_stream, stamp_of(files))
    with _errors(description.folder), quiet():
        dataset = datasets.load_dataset(name, source.config, split=theirs)
    return hub.from_dataset(source, split, dataset, description.folder)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Show no progress bars: local files are read quickly, a download keeps its bar."""
    import datasets

    is_shown = not datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if is_shown:
            datasets.enable_progress_bars()


@contextlib.contextmanager
def _errors(folder: Path) -> Iterator[None]:
    """Turn what the library raises into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # for files of users, the library and its readers raise nearly everything
        cause: Any = error.__cause__ or error
        raise Unreadable(
            f"{folder}: `datasets` cannot read it ({type(cause).__name__}: {hub.first_line(cause)})"
        ) from error
