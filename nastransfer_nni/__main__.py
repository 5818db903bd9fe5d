"""`nastransfer COMMAND ...` and `python -m nastransfer_nni COMMAND ...`: every command under one name."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.commands import COMMANDS


def main() -> None:
    """Run the command that the arguments name."""
    cli.main("nastransfer", COMMANDS)


if __name__ == "__main__":
    main()
