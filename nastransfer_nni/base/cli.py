"""Commands: a thin `fire` layer that checks every flag before any work or heavy import starts.

A command is a `Config` and a function of it. fire reads the flags, the config checks them, and only then is
the module that does the work imported.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from nastransfer_nni.base.config import Config
from search_spaces.errors import UserError, unknown


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        summary: what it does, in one line.
        config: its options.
        target: `module:function`, imported when the options are known to be good.
        positional: the options that may be given without their flag, in this order.
        examples: commands as a user types them.
        overrides: gives options that replace those of the command line, such as an NNI trial's parameters.
    """

    summary: str
    config: type[Config]
    target: str
    positional: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    overrides: Callable[[], dict[str, Any]] | None = None


Commands = Mapping[str, "Command | Commands"]


def main(program: str, command: Command | Commands, argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command, or the one of several that `argv` names, and exit.

    Exit codes: 0; 2 with one line on stderr for what the user can mend; 1 with a traceback for a defect of
    ours; 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        while not isinstance(command, Command):
            if not arguments or arguments[0] in ("-h", "--help", "help"):
                print(_overview(program, command))
                sys.exit(0)
            name = arguments.pop(0)
            if name not in command:
                raise unknown(f"command of {program}", name, list(command))
            program, command = f"{program} {name}", command[name]
        config = command.config.create(_flags(program, command, arguments) | _overrides(command))
        module, function = command.target.split(":")
        getattr(importlib.import_module(module), function)(config)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(0)


def _overview(program: str, commands: Commands) -> str:
    width = max(map(len, commands))
    lines = [
        f"  {name:<{width}}  {entry.summary if isinstance(entry, Command) else ' | '.join(entry)}"
        for name, entry in commands.items()
    ]
    return "\n".join(
        [f"usage: {program} COMMAND [--flag value ...]", "", *lines, "", f"{program} COMMAND --help"]
    )


def _flags(program: str, command: Command, arguments: list[str]) -> dict[str, Any]:
    """The options that fire reads from `arguments`; whatever it cannot place is refused."""
    import fire  # type: ignore[import-untyped]
    from fire.core import FireExit  # type: ignore[import-untyped]

    read: dict[str, Any] = {}

    def collect(*args: Any, **flags: Any) -> None:
        read.update({name: value for name, value in flags.items() if value is not _UNSET})
        read.update(
            {
                name: value
                for name, value in zip(command.positional, args, strict=False)
                if value is not _UNSET
            }
        )

    _dress(collect, command)
    if any(argument in ("-h", "--help") for argument in arguments):
        print(_help(program, command))
        sys.exit(0)
    _refuse_unknown(program, command, arguments)
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints), contextlib.redirect_stdout(complaints):
            fire.Fire(collect, command=arguments, name=program, serialize=lambda _: None)
    except FireExit as exit:
        if exit.code:
            said = next(
                (line for line in complaints.getvalue().splitlines() if "ERROR" in line), "ERROR: bad usage"
            )
            raise UserError(f"{said.split('ERROR: ')[-1]} (see {program} --help)") from None
    return read


class _Unset:
    def __repr__(self) -> str:
        return "unset"


_UNSET = _Unset()


def _dress(function: Callable[..., None], command: Command) -> None:
    """Give `function` the signature that fire reads."""
    fields = command.config.model_fields
    kinds: dict[str, Any] = dict.fromkeys(command.positional, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    kinds |= {name: inspect.Parameter.KEYWORD_ONLY for name in fields if name not in kinds}
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind, default=_UNSET) for name, kind in kinds.items()]
    )


def _refuse_unknown(program: str, command: Command, arguments: list[str]) -> None:
    fields = command.config.model_fields
    switches = {f"no{name}" for name, field in fields.items() if field.annotation is bool}
    for argument in arguments:
        if argument.startswith("-") and not argument[1:2].isdigit() and argument[1:2] != ".":
            name = argument.lstrip("-").split("=")[0].replace("-", "_")
            if not argument.startswith("--") or name not in {*fields, *switches}:
                raise unknown(f"flag of {program}", argument.split("=")[0], [_flag(name) for name in fields])


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _help(program: str, command: Command) -> str:
    """The page behind `--help`: usage, every option with its default and meaning, examples."""
    import textwrap

    usage = " ".join([program, *(f"[{name.upper()}]" for name in command.positional), "[--flag value ...]"])
    lines = [command.summary, "", f"usage: {usage}", "", "options:"]
    for name, field in command.config.model_fields.items():
        default = (
            "needed" if field.is_required() else f"default: {field.get_default(call_default_factory=True)}"
        )
        text = f"{field.description or ''} [{default}]"
        lines += textwrap.wrap(text, 100, initial_indent=f"  {_flag(name):<22}", subsequent_indent=" " * 24)
    if command.examples:
        lines += ["", "examples:", *(f"  {example}" for example in command.examples)]
    return "\n".join(lines)


def _overrides(command: Command) -> dict[str, Any]:
    """The options that `command.overrides` decides; refuses those that the command does not have."""
    values = command.overrides() if command.overrides is not None else {}
    for name in values:
        if name not in command.config.model_fields:
            known = list(command.config.model_fields)
            raise unknown("option in the experiment's searchSpace", name, known)
    return values
