"""Every command by name; none of their modules imports anything heavy."""

from __future__ import annotations

from nastransfer_nni import architecture, cli, search, transfer

COMMANDS: cli.Commands = {
    "search": search.COMMAND,
    "transfer": transfer.COMMAND,
    "architecture": architecture.COMMANDS,
}
