"""The grammar `name:option=value,option=value` of spaces and strategies, and its error messages."""

from __future__ import annotations

from typing import get_args

from pydantic import BaseModel, ValidationError

from search_spaces.errors import UserError, unknown


def pairs(options: str, text: str) -> dict[str, str]:
    """The options in `option=value,option=value`.

    Args:
        options: the options.
        text: the whole text, for messages.

    Raises:
        UserError: it is something else, or an option is given twice.
    """
    found: dict[str, str] = {}
    for part in options.split(","):
        option, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not option:
            raise UserError(f"{text!r}: options must be option=value pairs, not {part!r}")
        if option in found:
            raise UserError(f"{text!r}: {option} is given twice")
        found[option] = value
    return found


def explained(error: ValidationError, name: str, model: type[BaseModel]) -> UserError:
    """What is wrong with the first option that does not fit; a defect of ours is raised as it is.

    Args:
        error: the error of pydantic.
        name: name of the space or strategy.
        model: class of its options.
    """
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if cause is not None and not isinstance(cause, UserError):
        raise cause
    if not first["loc"]:
        return UserError(f"{name}: {cause}")
    option = str(first["loc"][0])
    if first["type"] == "literal_error":
        known = [str(value) for value in get_args(model.model_fields[option].annotation)]
        return unknown(f"value of {name}:{option}", first["input"], known)
    return UserError(f"{name}:{option}: {cause or first['msg']} (got {first['input']!r})")
