"""The one exception whose message is meant for the user, and the one "did you mean"."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence


class UserError(ValueError):
    """Something that the user can fix: commands show it as one line, `error: ...`, and exit with code 2.

    It is raised where the mistake shows, in every package. A bare ValueError is a defect of this project, and
    nothing turns one into a UserError.
    """


def unknown(
    what: str, name: object, known: Sequence[str], renamed: Mapping[str, str] | None = None
) -> UserError:
    """An error that names what is not known, the nearest match and everything that is allowed.

    Args:
        what: kind of thing that `name` should be, such as "strategy".
        name: the name that is not known.
        known: all names that are.
        renamed: names of earlier versions with what they are called now.
    """
    near = (renamed or {}).get(str(name)) or next(
        iter(difflib.get_close_matches(str(name), known, n=1)), None
    )
    hint = f" (did you mean {near!r}?)" if near else ""
    return UserError(f"unknown {what} {str(name)!r}{hint}; known: {', '.join(known)}")
