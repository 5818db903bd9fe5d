"""What a folder holds: which parts (train, validation, test), and in which storage form each is.

A folder that can be read in two ways is refused, with both named.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nastransfer_nni.data import parts
from nastransfer_nni.data.image_folder import has_images, is_hidden, is_image, visible
from search_spaces.errors import UserError

Form = Literal["saved", "parquet", "shards", "images"]

_FORMS: Mapping[str, Form] = {
    ".parquet": "parquet",
    ".tar": "shards",
    ".tar.gz": "shards",  # refused when it is opened
    ".tgz": "shards",
}
_SAVED = "state.json"


@dataclass(frozen=True)
class Part:
    """One part of a set.

    Attributes:
        form: storage form.
        paths: the files; for `saved` and `images` the one folder.
    """

    form: Form
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Layout:
    """The parts of a folder.

    Attributes:
        parts: the parts by name: train, validation, test.
        left_out: names of files and folders that are in no part.
    """

    parts: Mapping[str, Part]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Content:
    """What is directly in a folder, as far as it may belong to an image set.

    Attributes:
        folder: the folder.
        files: files with tables or shards.
        kinds: folders with the form of what is directly in them; `classes` where that is folders with images.
        has_images: whether image files lie directly in it.
    """

    folder: Path
    files: tuple[Path, ...]
    kinds: Mapping[Path, Form | Literal["classes"]]
    has_images: bool

    @classmethod
    def of(cls, folder: Path) -> _Content:
        entries = visible(folder)
        files = tuple(path for path in entries if _form(path.name) and path.is_file())
        kinds = {path: kind for path in entries if path.is_dir() and (kind := _kind(path))}
        return cls(folder, files, kinds, any(is_image(path.name) and path.is_file() for path in entries))


def find(folder: Path, role: str | None = None) -> Layout | None:
    """Find the parts of a set.

    Args:
        folder: the folder of the set.
        role: what its folders are: `parts` or `classes`; None: whichever can be meant.

    Returns:
        The parts; None if the folder holds nothing that is read without `datasets`.

    Raises:
        UserError: the folder can be read in two ways, or a folder in it cannot be read.
    """
    if (folder / _SAVED).is_file():
        return Layout({"train": Part("saved", (folder,))})
    content = _Content.of(folder)
    if role == "classes":
        return _one_part(content)
    exact = {path: split for path in content.kinds if (split := parts.named(path.name))}
    if exact:
        return _exact_parts(content, exact, role)
    if content.files:
        if role is None and sum(kind == "images" for kind in content.kinds.values()) > 1:
            raise _two_ways(folder, f"files such as {content.files[0].name}", _as_classes(content))
        return _files(content)
    data = folder / "data"
    if content.kinds.get(data) in ("parquet", "shards"):
        return _files(_Content.of(data))
    if len(content.kinds) == 1 and "classes" in content.kinds.values():
        inside = find(next(iter(content.kinds)), role)
        return _one_part(content) if inside is None or _is_one_part(inside) else inside
    return _parts_by_word(content, role) or _one_part(content)


def _form(name: str) -> Form | None:
    return next((form for suffix, form in _FORMS.items() if name.lower().endswith(suffix)), None)


def _kind(folder: Path) -> Form | Literal["classes"] | None:
    """Form of what is in a folder; it looks only as far as it must."""
    if (folder / _SAVED).is_file():
        return "saved"
    inside = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    inside.append(folder / entry.name)
                elif is_image(entry.name):
                    return "images"
                elif form := _form(entry.name):
                    return form
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from None
    return "classes" if any(map(has_images, sorted(inside))) else None


def _one_part(content: _Content) -> Layout | None:
    """The folder as a training part of class folders."""
    for path, kind in content.kinds.items():
        if kind != "classes" or len(content.kinds) == 1:
            continue
        if nested := [name for name in sorted(_class_folders(path)) if parts.named(name)]:
            raise UserError(
                f"{content.folder} can be read in two ways: its folders are classes, or {path.name} is a set "
                f"of its own with the part {nested[0]}; name the folder of the set, or move the others"
            )
    if not {"images", "classes"} & set(content.kinds.values()) and not content.has_images:
        return None
    return Layout({"train": Part("images", (content.folder,))})


def _is_one_part(layout: Layout) -> bool:
    return [(split, part.form) for split, part in layout.parts.items()] == [("train", "images")]


def _exact_parts(content: _Content, exact: Mapping[Path, str], role: str | None) -> Layout:
    """Parts from folders that have exactly their names; files are parts where no folder is."""
    others = [path for path in content.kinds if path not in exact]
    usable = [path for path in exact if content.kinds[path] != "images"]
    is_flat = all(content.kinds[path] == "images" for path in others)
    if others and role is None and len(usable) < 2 and not (usable and is_flat):
        raise _two_ways(content.folder, _as_parts(exact), _as_classes(content))
    found = {split: _part(path, content.kinds[path]) for path, split in _single(content, exact).items()}
    files = _files(content, allow_unnamed=False) if content.files else Layout({})
    unused = [path.name for split, part in files.parts.items() if split in found for path in part.paths]
    left_out = [path.name for path in others] + unused + list(files.left_out)
    return Layout({**files.parts, **found}, tuple(left_out))


def _part(path: Path, kind: Form | Literal["classes"]) -> Part:
    if kind in ("parquet", "shards"):
        return Part(*_only_form(path, [file for file in visible(path) if _form(file.name)]))
    return Part("saved" if kind == "saved" else "images", (path,))


def _only_form(folder: Path, files: Sequence[Path]) -> tuple[Form, tuple[Path, ...]]:
    """The form of files that must all have the same."""
    by_form = {form: path for path in files if (form := _form(path.name))}
    if len(by_form) > 1:
        names = " or ".join(path.name for path in by_form.values())
        raise UserError(f"{folder} can be read in two ways: the images are in {names}; move one of them away")
    return next(iter(by_form)), tuple(files)


def _files(content: _Content, *, allow_unnamed: bool = True) -> Layout:
    """Parts from files with the words in their names; files without such words are a training part."""
    by_split: dict[str | None, list[Path]] = {}
    for path in content.files:
        by_split.setdefault(parts.in_name(path.name), []).append(path)
    unnamed = by_split.pop(None, [])
    if not by_split and allow_unnamed:
        by_split, unnamed = {"train": unnamed}, []
    _only_form(content.folder, content.files)
    found = {str(split): Part(*_only_form(content.folder, paths)) for split, paths in by_split.items()}
    return Layout(found, tuple(path.name for path in unnamed))


def _parts_by_word(content: _Content, role: str | None) -> Layout | None:
    """Parts from folders with a word in their names, such as `train_images`; None if the folders are classes.

    They are parts if all are named so and evaluation has no class that training does not have.
    """
    worded = {path: split for path in content.kinds if (split := _word(path))}
    train = next((path for path, split in worded.items() if split == "train"), None)
    is_complete = len(worded) == len(content.kinds)
    if train is None or (content.kinds[train] == "images" and not is_complete):
        return None
    has_classes = all(content.kinds[path] != "images" for path in worded)
    known = _class_folders(train)
    is_consistent = all(_class_folders(path) <= known for path in worded if content.kinds[path] == "classes")
    if role is None and not (is_complete and has_classes and is_consistent):
        raise _two_ways(content.folder, _as_parts(worded), _as_classes(content))
    found = {split: _part(path, content.kinds[path]) for path, split in _single(content, worded).items()}
    return Layout(found, tuple(path.name for path in content.kinds if path not in worded))


def _word(path: Path) -> str | None:
    try:
        return parts.in_name(path.name)
    except UserError:  # words of two parts: a class, or a folder beside the parts
        return None


def _class_folders(folder: Path) -> set[str]:
    """Names of the folders in a part, without those that hold all others."""
    inside = [path for path in visible(folder) if path.is_dir()]
    if len(inside) == 1 and (deeper := _class_folders(inside[0])):
        return deeper
    return {path.name for path in inside}


def _single(content: _Content, splits: Mapping[Path, str]) -> Mapping[Path, str]:
    """The same mapping; two folders of one part are refused."""
    seen: dict[str, Path] = {}
    for path, split in splits.items():
        if other := seen.get(split):
            raise UserError(
                f"{content.folder}: both {other.name} and {path.name} could be its {split} split; rename one"
            )
        seen[split] = path
    return splits


def _as_parts(splits: Mapping[Path, str]) -> str:
    return " and ".join(f"{path.name} is its {split} split" for path, split in splits.items())


def _as_classes(content: _Content) -> str:
    names = sorted(path.name for path in content.kinds)
    return f"its folders are classes ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"


def _two_ways(folder: Path, one: str, other: str) -> UserError:
    return UserError(
        f"{folder} can be read in two ways: {one}, or {other}; add @folders=parts or @folders=classes to "
        "its name"
    )
