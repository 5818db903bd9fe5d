"""`python -m nastransfer_nni.study`: plan, run and watch a whole study that one file describes."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.nni_engine.trial import trial_parameters
from nastransfer_nni.study.config import (
    ChainConfig,
    PilotConfig,
    PlanConfig,
    RunConfig,
    StatusConfig,
    TableConfig,
)

_PROGRAM = "python -m nastransfer_nni.study"
_FILE = "experiments/study_digits.yml"
COMMANDS: cli.Commands = {
    "plan": cli.Command(
        summary="List the jobs of a study, their cost and the differences that its design can detect.",
        config=PlanConfig,
        target="nastransfer_nni.study.run:print_plan",
        positional=("file",),
        examples=(f"{_PROGRAM} plan {_FILE}", f"{_PROGRAM} plan {_FILE} --images-per-second 2000 --jobs"),
    ),
    "run": cli.Command(
        summary="Run a study, or resume it.",
        config=RunConfig,
        target="nastransfer_nni.study.run:run",
        positional=("file",),
        examples=(f"{_PROGRAM} run {_FILE} --concurrency 2", f"{_PROGRAM} run {_FILE} --engine nni"),
    ),
    "pilot": cli.Command(
        summary="Measure how reliable a training is, and what it costs, in several settings.",
        config=PilotConfig,
        target="nastransfer_nni.study.pilot:print_pilot",
        positional=("file",),
        examples=(
            f"{_PROGRAM} pilot {_FILE} --cells 8 --settings '; epochs=5; width=8,img_size=16'",
            f"{_PROGRAM} plan {_FILE} --pilot runs/study-digits-pilot",
        ),
    ),
    "status": cli.Command(
        summary="Show how many jobs of a study are completed, running, waiting or failed.",
        config=StatusConfig,
        target="nastransfer_nni.study.run:print_status",
        positional=("file",),
        examples=(f"{_PROGRAM} status {_FILE}", f"{_PROGRAM} status {_FILE} --html"),
    ),
    "table": cli.Command(
        summary="Write the results table of a study's completed transfers.",
        config=TableConfig,
        target="nastransfer_nni.study.run:write_table",
        positional=("file",),
        examples=(
            f"{_PROGRAM} table {_FILE} --to results.csv",
            f"{_PROGRAM} table {_FILE} --push-to-hub me/study-digits   # as a data set",
            f"{_PROGRAM} run {_FILE} --from-table results.csv   # on another machine",
        ),
    ),
    "chain": cli.Command(
        summary="Run one search of a study with its transfers.",
        config=ChainConfig,
        target="nastransfer_nni.study.run:chain",
        positional=("file",),
        examples=(f"{_PROGRAM} chain {_FILE} --search random-seed0",),
        overrides=trial_parameters,
    ),
}

if __name__ == "__main__":
    cli.main(_PROGRAM, COMMANDS)
