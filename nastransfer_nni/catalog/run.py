"""What the catalog commands do: list names with a line on each, copy example experiments."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import strategies
from nastransfer_nni.base.files import pretty, write_text
from nastransfer_nni.base.paths import expanded
from nastransfer_nni.catalog.config import ExamplesConfig, ListConfig, LoopbackConfig, ShowConfig
from nastransfer_nni.data.sources import SOURCES
from nastransfer_nni.proxy.step import KINDS
from nastransfer_nni.training.protocols import PRESETS
from search_spaces import SPACES
from search_spaces.errors import UserError


def datasets(config: ListConfig) -> None:
    """Print the known data sets."""
    rows = []
    for source in SOURCES.values():
        size = "x".join(map(str, source.pixels)) if source.pixels else "various"
        rows.append(
            {"name": source.name, "classes": source.classes, "pixels": size, "from": source.how_to_get}
        )
    _print(rows, config)


def protocols(config: ListConfig) -> None:
    """Print the training protocols with the options that tell them apart."""
    names = ("epochs", "batch_size", "width", "layers", "img_size", "opt", "lr", "sched")
    rows = [
        {"name": name, **{key: getattr(recipe, key) for key in names}} for name, recipe in PRESETS.items()
    ]
    _print(rows, config)


def list_strategies(config: ListConfig) -> None:
    """Print the strategies."""
    rows = [{"name": name, "what": entry.summary} for name, entry in strategies.STRATEGIES.items()]
    _print(rows, config)


def list_spaces(config: ListConfig) -> None:
    """Print the search spaces."""
    rows = [{"name": name, "what": entry.summary} for name, entry in SPACES.items()]
    _print(rows, config)


def show_strategy(config: ShowConfig) -> None:
    """Print a strategy's options, and the options of the search that belong to its method, as JSON.

    Raises:
        UserError: the strategy or an option is unknown.
    """
    spec = strategies.parse(config.strategy)
    documented = inspect.cleandoc(type(spec.options).__doc__ or "")
    shown = {
        "strategy": spec.name,
        "what": documented.split("\n")[0],
        "options": spec.options.model_dump(),
        "search": dict(spec.options.search),
    }
    print(pretty(shown))


def proxies(config: ListConfig) -> None:
    """Print the kinds of proxy sets."""
    rows = [{"name": name, "what": (kind.__doc__ or "").split("\n")[0]} for name, kind in KINDS.items()]
    _print(rows, config)


def _print(rows: Sequence[Mapping[str, object]], config: ListConfig) -> None:
    if config.as_json:
        print(pretty(rows))
        return
    widths = {key: max(len(key), *(len(str(row[key])) for row in rows)) for key in rows[0]}
    for row in [dict(zip(widths, widths, strict=True)), *rows]:
        print("  ".join(f"{row[key]!s:<{width}}" for key, width in widths.items()).rstrip())


def examples(config: ExamplesConfig) -> None:
    """List the example experiments and studies, or copy them to a folder, ready to be run from it.

    Raises:
        UserError: a file of that name is there already, or the folder cannot be written.
    """
    files = sorted(_experiments().glob("*.yml"))
    if config.to is None:
        print("\n".join(f"{file.name:<34}{_first_comment(file)}" for file in files))
        return
    folder = expanded(config.to)
    there = [file.name for file in files if (folder / file.name).exists()]
    if there and not config.overwrite:
        raise UserError(f"{folder} has a file {there[0]} already; --overwrite replaces it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            write_text(folder / file.name, _ready(file.read_text("utf-8"), folder))
        for table in _experiments().glob("*.parquet"):
            shutil.copyfile(table, folder / table.name)
    except OSError as error:
        raise UserError(f"cannot write to the folder {folder}: {error.strerror}") from None
    print(f"{len(files)} experiments and studies are in {folder}")


def _ready(text: str, folder: Path) -> str:
    """An example as this environment runs it from `folder`.

    Trials of NNI start this Python, whether or not its environment is activated. Their runs are put where the
    user is now, as other commands do, or in `folder` if that is elsewhere.
    """
    here = Path.cwd().resolve()
    code = os.path.relpath(here, folder) if folder.resolve().is_relative_to(here) else "."
    python = shlex.quote(sys.executable)
    commands = {"python": python, "torchrun": f"{python} -m torch.distributed.run"}
    text = re.sub(
        r"^trialCommand: (?:>-\s+)?(python|torchrun) ",
        lambda found: f"trialCommand: >-\n  {commands[found[1]]} ",
        text,
        flags=re.MULTILINE,
    )
    text = text.replace("trialCodeDirectory: ..", f"trialCodeDirectory: {code}")
    return re.sub(r"\bexperiments/(\w+\.yml)", lambda found: shlex.quote(str(folder / found[1])), text)


def _experiments() -> Path:
    """The folder of example experiments: in a checkout, or where the wheel has put it."""
    checkout = Path(__file__).resolve().parents[2] / "experiments"
    installed = Path(sysconfig.get_path("data"), "share", "nastransfer_nni", "experiments")
    return checkout if checkout.is_dir() else installed


def _first_comment(file: Path) -> str:
    """The first sentence of the comment that a file begins with."""
    lines = []
    for line in file.read_text("utf-8").splitlines():
        if not line.startswith("# "):
            break
        lines.append(line.removeprefix("# "))
    return " ".join(lines).partition(". ")[0].rstrip(".:")


def loopback(config: LoopbackConfig) -> None:
    """Print the value of NODE_OPTIONS that keeps NNI's manager to this machine."""
    print(f"--require={resources.files('nastransfer_nni.nni_engine').joinpath('loopback.cjs')}")
