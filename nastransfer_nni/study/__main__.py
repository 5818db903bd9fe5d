"""`python -m nastransfer_nni.study`: plan, run and watch a whole study from one file."""

from __future__ import annotations

from nastransfer_nni.base import cli
from nastransfer_nni.nni_engine.trial import trial_parameters
from nastransfer_nni.study.config import ChainConfig, PlanConfig, RunConfig, StudyConfig

_RUN = "python -m nastransfer_nni.study"
_FILE = "experiments/study_digits.yml"
COMMANDS: cli.Commands = {
    name: cli.Command(
        summary,
        config,
        f"nastransfer_nni.study.run:{name}",
        ("file",),
        (f"{_RUN} {name} {_FILE}{more}",),
        overrides=trial_parameters if name == "chain" else None,
    )
    for name, summary, config, more in (
        ("plan", "List a study's runs, their cost and the power of its design.", PlanConfig, ""),
        ("run", "Run a study, or go on with it.", RunConfig, " --workers 2"),
        ("status", "Show how a study stands.", StudyConfig, ""),
        ("chain", "Run one search of a study with its transfers.", ChainConfig, " --search random-seed0"),
    )
}

if __name__ == "__main__":
    cli.main(_RUN, COMMANDS)
