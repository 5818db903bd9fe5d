"""The functions of the Python API: what the commands do, with the same options, names and errors."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nastransfer_nni.api.record import RunRecord
from nastransfer_nni.architecture.file import Architecture, read
from nastransfer_nni.base.cli import Command
from nastransfer_nni.base.config import Config
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.commands import COMMANDS
from search_spaces.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

Result = TypeVar("Result")


def command_of(*words: str) -> Command:
    """The command of these words, such as `proxy`, `make`."""
    entry: Any = COMMANDS
    for word in words:
        entry = entry[word]
    assert isinstance(entry, Command)
    return entry


def signature_of(command: Command, returns: Any) -> inspect.Signature:
    """The options of a command as a signature: positional ones first, the others by keyword only."""
    parameters = []
    for name in sorted(command.config.model_fields, key=lambda name: name not in command.positional):
        field = command.config.model_fields[name]
        is_positional = name in command.positional
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD if is_positional else inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty
                if field.is_required()
                else field.get_default(call_default_factory=True),
                annotation=field.annotation,
            )
        )
    return inspect.Signature(parameters, return_annotation=returns)


def with_options_of(*words: str) -> Callable[[Callable[[Any], Result]], Callable[..., Result]]:
    """Let a function of a config be called with the options of a command."""
    command = command_of(*words)

    def decorate(function: Callable[[Any], Result]) -> Callable[..., Result]:
        signature = signature_of(command, inspect.signature(function, eval_str=False).return_annotation)

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Result:
            named = dict(zip(command.positional, args, strict=False))
            if len(args) > len(command.positional):
                raise TypeError(f"{function.__name__}() takes {len(command.positional)} positional arguments")
            return function(command.config.create({**named, **options}))

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.config = command.config  # type: ignore[attr-defined]
        lines = [f"    {name}: {field.description}." for name, field in command.config.model_fields.items()]
        call.__doc__ = "\n".join([inspect.cleandoc(function.__doc__ or ""), "", "Args:", *lines])
        return call

    return decorate


def _work(target: str) -> Callable[[Config], Any]:
    """The function that does a command's work; its module is imported when it is called."""
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


@with_options_of("search")
def search(config: Any) -> RunRecord:
    """Search a cell on a source; resumes the run that has these options where it is unfinished.

    Raises:
        UserError: something that the user can fix.
    """
    return RunRecord(_work("nastransfer_nni.search.run:search")(config).path)


@with_options_of("transfer")
def transfer(config: Any) -> RunRecord:
    """Train the network of a cell on a target; resumes the run that has these options where it is unfinished.

    Raises:
        UserError: something that the user can fix.
    """
    return RunRecord(_work("nastransfer_nni.transfer.run:transfer")(config).path)


@with_options_of("evaluate")
def evaluate(config: Any) -> dict[str, Any]:
    """Evaluate a trained network: top1 and top5 in percent, loss, and what was evaluated.

    Raises:
        UserError: something that the user can fix.
    """
    return _work("nastransfer_nni.evaluate.run:evaluate")(config)  # type: ignore[no-any-return]


@with_options_of("export")
def export(config: Any) -> dict[str, Any]:
    """Export a trained network; returns its model card.

    Raises:
        UserError: something that the user can fix.
    """
    return _work("nastransfer_nni.export.run:export")(config)  # type: ignore[no-any-return]


@with_options_of("score")
def score(config: Any) -> dict[str, float]:
    """Score the untrained network of a cell; returns the scores by name.

    Raises:
        UserError: something that the user can fix.
    """
    return _work("nastransfer_nni.score.run:score")(config)  # type: ignore[no-any-return]


@with_options_of("rank")
def rank(config: Any) -> pd.DataFrame:
    """Compare cheap evaluations of cells with their known accuracies; one row per evaluation.

    Returns:
        Columns `evaluation`, `sees`, `cells`; `tau`, `rho`, `recall` and `regret`, each with `_low` and
        `_high`; `seconds` a cell, and `on_front`.

    Raises:
        UserError: something that the user can fix.
    """
    import pandas as pd  # takes half a second, which the other functions do not need

    return pd.DataFrame(_work("nastransfer_nni.rank.run:rank")(config).finished["evaluations"])


@with_options_of("measure-latency")
def measure_latency(config: Any) -> dict[str, Any]:
    """Measure the parts of final networks on this machine; returns the file and what was found in short.

    Raises:
        UserError: something that the user can fix.
    """
    return _work("nastransfer_nni.latency.run:measure_latency")(config)  # type: ignore[no-any-return]


@with_options_of("report")
def report(config: Any) -> Path:
    """Write the report of a folder of runs, or of a CSV; returns its page.

    Raises:
        UserError: something that the user can fix.
    """
    return _work("nastransfer_nni.report.run:report")(config)  # type: ignore[no-any-return]


@with_options_of("proxy", "make")
def make_proxy(config: Any) -> Path:
    """Select a proxy set and write its manifest; returns the manifest's file.

    Raises:
        UserError: something that the user can fix.
    """
    _work("nastransfer_nni.proxy.run:make")(config)
    return Path(config.out)


@with_options_of("study", "plan")
def plan_study(config: Any) -> str:
    """The runs of a study, their cost and the differences that it can detect, as text.

    Raises:
        UserError: something that the user can fix.
    """
    return _work("nastransfer_nni.study.run:plan")(config)  # type: ignore[no-any-return]


@with_options_of("study", "run")
def run_study(config: Any) -> Path:
    """Run a study, or resume it; returns its folder, which `report` and `results` take.

    Raises:
        UserError: something that the user can fix, or jobs that have failed.
    """
    return _work("nastransfer_nni.study.run:run")(config)  # type: ignore[no-any-return]


def load_architecture(arch: str | Path) -> Architecture:
    """Read an architecture: a file in any form, or the name of a published cell.

    Raises:
        UserError: it is neither.
    """
    return read(str(arch))


def load_run(path: str | Path) -> RunRecord:
    """Read a run's folder.

    Raises:
        UserError: the folder holds no run.
    """
    return RunRecord(path)


def runs(folder: str | Path = "runs") -> pd.DataFrame:
    """The searches and transfers below a folder, one row per run.

    Returns:
        Columns `path`, `command`, `status`, `top1` in percent (NaN before a run is complete).
    """
    import pandas as pd  # takes half a second, which the other functions do not need

    found = []
    for file in sorted(expanded(folder).rglob("config.yaml")):
        try:
            found.append(RunRecord(file.parent))
        except UserError:
            continue  # another tool's config.yaml
    rows = [
        {"path": str(run.path), "command": run.command, "status": run.status, "top1": run.top1}
        for run in found
    ]
    return pd.DataFrame(rows, columns=["path", "command", "status", "top1"]).astype({"top1": float})


def results(folder: str | Path) -> pd.DataFrame:
    """The results table of the transfers below a folder, one row per trained network, as `report` reads it.

    Raises:
        UserError: there is no finished transfer.
    """
    from nastransfer_nni.report.collect import collect

    table = collect(expanded(folder))[0]
    counts = [name for name in ("params", "mult_adds", "search_samples") if name in table]
    return table.astype(dict.fromkeys(counts, "Int64"))
