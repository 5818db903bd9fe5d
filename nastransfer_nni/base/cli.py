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
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin

from pydantic.fields import FieldInfo

from nastransfer_nni import __version__
from nastransfer_nni.base import start
from nastransfer_nni.base.config import Config, FromText
from nastransfer_nni.base.imports import without_collection
from nastransfer_nni.base.launch import is_first_to_report
from nastransfer_nni.base.machine_errors import fixable
from nastransfer_nni.base.option_file import read_options
from search_spaces.errors import UserError, unknown


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        summary: one line on what the command does.
        config: options of the command.
        target: function to call, as `module:function`; imported once the options are known to be good.
        positional: options that may be given without their flag, in this order.
        examples: commands as a user types them.
        overrides: returns options that replace those of the command line, such as an NNI trial's parameters.
        reads_file: whether `--config FILE` reads options from a YAML file; flags replace them.
    """

    summary: str
    config: type[Config]
    target: str
    positional: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    overrides: Callable[[], dict[str, Any]] | None = None
    reads_file: bool = False


Commands = Mapping[str, "Command | Commands"]

FILE_OPTION = "config"
VERSION_FLAGS = ("-V", "--version")


def main(program: str, command: Command | Commands, argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command, or the one of several that `argv` names, and exit.

    Exit codes: 0 for success; 2 for a mistake that the user can fix, with one line on stderr; 1 for a defect
    of this project, with a traceback; 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal or file that cannot show every character
            stream.reconfigure(errors="backslashreplace")
    try:
        start.interrupt_at_signals()
        while not isinstance(command, Command):
            if not arguments or arguments[0] in ("-h", "--help", "help"):
                print(_overview(program, command))
                sys.exit(0)
            if arguments[0] in VERSION_FLAGS:
                break
            name = arguments.pop(0)
            if name not in command:
                raise unknown(f"command of {program}", name, list(command))
            program, command = f"{program} {name}", command[name]
        if any(flag in arguments for flag in VERSION_FLAGS) or not isinstance(command, Command):
            print(f"nastransfer_nni {__version__}")
            sys.exit(0)
        config = command.config.create(_flags(program, command, arguments) | _overrides(command))
        module, function = command.target.split(":")
        with without_collection():
            target = getattr(importlib.import_module(module), function)
        target(config)
    except UserError as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        start.end_at_signals()  # a second one must not show in the clean-up of libraries
        if is_first_to_report():
            print("interrupted; the same command resumes from here", file=sys.stderr)
        sys.exit(start.INTERRUPTED)
    except BrokenPipeError:  # stdout was closed by its reader, for example `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        reason = fixable(error)
        if reason is None:
            raise
        _refuse(reason)
    sys.exit(0)


def _refuse(reason: str) -> NoReturn:
    """Exit with one line on stderr; names in it may hold line ends and what a terminal takes for commands."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in reason.replace("\n", " "))
    if is_first_to_report():
        print(f"error: {line}", file=sys.stderr)
    sys.exit(2)


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
    """The options that fire reads from `arguments`; what is no option of the command is refused."""
    import fire  # type: ignore[import-untyped]
    from fire import decorators
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

    _set_signature(collect, command)
    texts = {name: _text for name, field in command.config.model_fields.items() if _is_text(field)}
    decorators.SetParseFns(**texts, **({FILE_OPTION: _text} if command.reads_file else {}))(collect)
    if any(argument in ("-h", "--help") for argument in arguments):
        print(help_page(program, command))
        sys.exit(0)
    _refuse_unknown(program, command, arguments)
    fire_output = io.StringIO()
    try:
        with contextlib.redirect_stderr(fire_output), contextlib.redirect_stdout(fire_output):
            fire.Fire(collect, command=arguments, name=program, serialize=lambda _: None)
    except FireExit as exit:
        if exit.code:
            lines = fire_output.getvalue().splitlines()
            message = next((line for line in lines if "ERROR" in line), "ERROR: bad usage")
            raise UserError(f"{message.split('ERROR: ')[-1]} (see {program} --help)") from None
    file = read.pop(FILE_OPTION, None) if command.reads_file else None
    return read if file is None else read_options(str(file), command.config) | read


def _is_text(field: FieldInfo) -> bool:
    """Whether an option is a text, or is made from one."""
    kinds = [field.annotation] if field.metadata else [*get_args(field.annotation)] or [field.annotation]
    metadata = [*field.metadata]
    for index, kind in enumerate(kinds):
        if get_origin(kind) is Annotated:
            kinds[index], *more = get_args(kind)
            metadata += more
    return any(isinstance(each, FromText) for each in metadata) or {*kinds} <= {str, type(None)}


def _text(value: str) -> str | bool | None:
    """A text as it was typed: for Fire `exp#2`, `1.10` and `2024_10_01` are Python, of which it changes some.

    What Fire gives a flag without a value is no text.
    """
    return {"None": None, "True": True, "False": False}.get(value, value)


class _Unset:
    def __repr__(self) -> str:
        return "unset"


_UNSET = _Unset()


def _set_signature(function: Callable[..., None], command: Command) -> None:
    """Give `function` the signature that fire reads."""
    fields = command.config.model_fields
    kinds: dict[str, Any] = dict.fromkeys(command.positional, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [*fields, FILE_OPTION] if command.reads_file else [*fields]
    kinds |= {name: inspect.Parameter.KEYWORD_ONLY for name in names if name not in kinds}
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind, default=_UNSET) for name, kind in kinds.items()]
    )


def _refuse_unknown(program: str, command: Command, arguments: list[str]) -> None:
    fields, renamed = command.config.model_fields, command.config.renamed
    names = [*fields, FILE_OPTION] if command.reads_file else [*fields]
    switches = {f"no{name}" for name, field in fields.items() if field.annotation is bool}
    for argument in arguments:
        if argument.startswith("-") and not argument[1:2].isdigit() and argument[1:2] != ".":
            flag = argument.split("=")[0]
            name = flag.lstrip("-").replace("-", "_")
            if not argument.startswith("--") or name not in {*names, *switches}:
                now = {flag: _flag(renamed[name])} if name in renamed else {}
                raise unknown(f"flag of {program}", flag, [_flag(name) for name in names], now)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def help_page(program: str, command: Command) -> str:
    """The page behind `--help`: usage, every option with its meaning, choices and default, examples."""
    usage = " ".join([program, *(f"[{name.upper()}]" for name in command.positional), "[--flag value ...]"])
    lines = [command.summary, "", f"usage: {usage}", "", "options:"]
    fields = command.config.model_fields
    for name in sorted(fields, key=lambda name: name not in command.positional):
        field = fields[name]
        choices = [str(choice) for choice in _choices(field.annotation) if choice != ""]
        allowed = f"choices: {', '.join(choices)}; " if choices else ""
        default = field.get_default(call_default_factory=True)
        text = (
            f"{field.description} [{allowed}{'required' if field.is_required() else f'default: {default!s}'}]"
        )
        lines += _entry(_flag(name), text)
    if command.reads_file:
        text = "YAML file with options, or the config.yaml of a run; flags replace what it says"
        lines += _entry(_flag(FILE_OPTION), text)
    if command.examples:
        lines += ["", "examples:", *(f"  {example}" for example in command.examples)]
    return "\n".join(lines)


def _entry(flag: str, text: str) -> list[str]:
    """The lines of a flag: beside each other where the terminal has room, else below each other."""
    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    if width >= 70:
        return textwrap.wrap(text, width, initial_indent=f"  {flag:<22}", subsequent_indent=" " * 24)
    indent = " " * 4
    return [
        f"  {flag}",
        *textwrap.wrap(text, max(width, 30), initial_indent=indent, subsequent_indent=indent),
    ]


def _choices(annotation: Any) -> tuple[Any, ...]:
    """The values that a Literal allows, also inside a union with None; empty for other types."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(choice for part in get_args(annotation) for choice in _choices(part))


def _overrides(command: Command) -> dict[str, Any]:
    """The options that `command.overrides` decides; refuses those that the command does not have."""
    values = command.overrides() if command.overrides is not None else {}
    for name in values:
        if name not in command.config.model_fields:
            known = list(command.config.model_fields)
            raise unknown("option in the experiment's searchSpace", name, known, command.config.renamed)
    return values
