"""Every command by name; none of their modules imports anything heavy."""

from __future__ import annotations

from nastransfer_nni import architecture, cli, evaluate, export, proxy, report, search, study, transfer

COMMANDS: cli.Commands = {
    "search": search.COMMAND,
    "transfer": transfer.COMMAND,
    "evaluate": evaluate.COMMAND,
    "export": export.COMMAND,
    "study": study.COMMANDS,
    "report": report.COMMAND,
    "proxy": proxy.COMMANDS,
    "architecture": architecture.COMMANDS,
}
