"""Reading the YAML files that users write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from search_spaces.errors import UserError


def read_yaml(path: str | Path, what: str) -> Any:
    """Content of the YAML file at `path`.

    Args:
        path: the file.
        what: how messages name it, such as `study file`.

    Raises:
        UserError: the file cannot be read or is not YAML.
    """
    try:
        return yaml.safe_load(Path(path).expanduser().read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{what} {path}: {error.strerror or error}") from None
    except RecursionError:
        raise UserError(f"{what} {path} is nested too deeply") from None
    except UnicodeDecodeError:
        raise UserError(f"{what} {path} is not a text file in UTF-8") from None
    except (yaml.YAMLError, ValueError) as error:  # PyYAML raises ValueError for a date such as 2024-02-31
        raise UserError(f"{what} {path} is not YAML: {' '.join(str(error).split())[:200]}") from None
