"""The one exception whose message is meant for the user."""


class UserError(ValueError):
    """Something the user can mend: shown as one line, `error: ...`, with exit code 2 and no traceback."""


def unknown(what: str, name: object, known: list[str]) -> UserError:
    """An error that names what is not known, the nearest match and everything that is allowed."""
    import difflib

    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return UserError(f"unknown {what} {str(name)!r}{hint}; known: {', '.join(known)}")
