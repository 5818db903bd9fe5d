"""Reading text, JSON and YAML that users wrote or killed processes left: one kind of error for all of it.

What is returned is plain: objects, lists, texts that UTF-8 can hold, finite and infinite numbers, True, False
and None, never nested so deeply or so large that working on it fails.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from nastransfer_nni.base.paths import expanded
from search_spaces.errors import UserError

MAX_DEPTH = 50
"""Lists and objects inside each other; files of ours have up to six."""
MAX_VALUES = 2_000_000
"""Values of a file; a few lines of YAML can stand for billions, by aliases of aliases."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class _Loader(yaml.SafeLoader):
    """YAML as JSON has it: `2024-02-31` is a text, not a date that PyYAML fails to make."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping; two entries of one name are refused, where PyYAML keeps the last."""
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if twice := next((name for name, count in Counter(names).items() if count > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def decode(content: bytes) -> str:
    """Text in UTF-8, or with a byte-order mark in UTF-16.

    Raises:
        UserError: it is neither.
    """
    encoding = "utf-16" if content.startswith(_UTF16) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise UserError("is not a text file in UTF-8 or UTF-16") from None


def read_text(path: str | Path, max_bytes: int | None = None) -> str:
    """Content of a text file.

    Args:
        path: the file; `~` is the user's home folder.
        max_bytes: size from which on the file is refused unread; None: any size.

    Raises:
        UserError: says why the file cannot be read; it does not name the file.
    """
    try:
        file = expanded(path)
        if file.is_dir():
            raise UserError("is a folder; name the file inside it")
        if file.exists() and not file.is_file():
            raise UserError("is not a regular file")
        if max_bytes is not None and file.stat().st_size > max_bytes:
            raise UserError(f"is larger than {max_bytes:,} bytes")
        return decode(file.read_bytes())
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}") from None
    except UserError:
        raise
    except ValueError as error:  # a zero byte in the name
        raise UserError(f"cannot be read: {error}") from None


def exists(path: str | Path) -> bool:
    """Whether there is such a file or folder; no path that the system refuses, such as a long one, exists."""
    try:
        return expanded(path).exists()
    except PermissionError:
        return True
    except (OSError, ValueError):  # too long; a zero byte; `~nobody`
        return False


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        UserError: says where and why the text is no JSON; it does not name the file.
    """
    try:
        return _require_plain(json.loads(text))
    except json.JSONDecodeError as error:
        raise UserError(f"is not JSON ({error.msg} at line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise UserError("is nested too deeply") from None
    except UserError:
        raise
    except ValueError:  # Python reads no integers of more than 4300 digits
        raise UserError("is not JSON that can be read: it has a number of thousands of digits") from None


def parse_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        UserError: says where and why the text is no YAML; it does not name the file.
    """
    try:
        value = yaml.load(text, _Loader)
    except RecursionError:
        raise UserError("is nested too deeply") from None
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # beside YAMLError, whatever Python raises for `!!bool x`, `!!timestamp x` or a number of 5000 digits
        why = f" ({' '.join(str(error).split())[:200]})" if isinstance(error, yaml.YAMLError) else ""
        raise UserError(f"is not YAML{why}") from None
    return _require_plain(value)


def read_json(path: str | Path, what: str) -> Any:
    """Content of a JSON file.

    Args:
        path: the file.
        what: how messages name it, such as `--arch`.

    Raises:
        UserError: the file cannot be read or is not JSON.
    """
    return _named(path, what, parse_json)


def read_yaml(path: str | Path, what: str) -> Any:
    """Content of a YAML file.

    Args:
        path: the file.
        what: how messages name it, such as `study file`.

    Raises:
        UserError: the file cannot be read or is not YAML.
    """
    return _named(path, what, parse_yaml)


def _named(path: str | Path, what: str, parse: Any) -> Any:
    try:
        return parse(read_text(path))
    except UserError as error:
        raise UserError(f"{what} {path} {error}") from None


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file of a run; None where the file is missing or damaged."""
    try:
        value = parse_json(read_text(path))
    except UserError:
        return None
    return value if isinstance(value, dict) else None


def whole_lines(path: Path) -> list[str]:
    """Lines of a file with their line ends; an incomplete last one, which a killed process left, is dropped.

    A missing file has none.
    """
    text = path.read_text("utf-8", errors="replace") if path.exists() else ""
    return [f"{line}\n" for line in text.split("\n")[:-1]]


def read_records(path: Path) -> list[dict[str, Any]]:
    """The JSON objects in a run's file with one a line, without an incomplete last one.

    Raises:
        UserError: names the first line that is damaged.
    """
    records = []
    for number, line in enumerate(whole_lines(path), 1):
        try:
            record = parse_json(line)
        except UserError:
            record = None
        if not isinstance(record, dict):
            raise UserError(f"{path}, line {number} is damaged; --overwrite starts the run anew")
        records.append(record)
    return records


def _require_plain(value: Any) -> Any:
    """Return `value` if it can be worked on as JSON can."""
    level, count = [value], 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item, *item.values()]
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str):
                _require_encodable(item)
            elif not isinstance(item, int | float | None):
                raise UserError(f"holds a value that is neither text, number, list nor object ({item!r:.50})")
        count += len(below)
        if count > MAX_VALUES:
            raise UserError(f"stands for more than {MAX_VALUES:,} values")
        if not below:
            return value
        level = below
    raise UserError("is nested too deeply, or holds itself")


def _require_encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError("holds half of a surrogate pair, which is no character") from None
