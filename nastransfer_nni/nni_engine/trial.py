"""The NNI trial that this process may be: its parameters, and its channel for results."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from nastransfer_nni.base.environment import changed_environment
from nastransfer_nni.base.files import write_json
from nastransfer_nni.base.launch import global_rank, world_size
from search_spaces.errors import UserError

MAX_WAIT_SECONDS = 120.0
"""Time that ranks wait for the parameters of their trial."""
MAIN_METRICS = ("top1", "score")
"""What NNI plots and optimizes: the first of these that a trial reports."""
DIGITS = 4
"""Digits after the point of the numbers in the web UI's columns; what NNI optimizes has all."""
SHOWN_OF_SUMMARY = (
    *MAIN_METRICS,
    "top5",
    "best_top1",
    "params",
    "mult_adds",
    "parameter_free_share",
    "skips",
    "genotype",
)
"""What a trial shows of the summary of its run."""

_LOCAL_TRIALS = ("environments", "local-env", "trials")
"""Where NNI 3.0 keeps the trials of this machine, below the folder of the experiment."""


def is_trial() -> bool:
    """Whether NNI has started this process as a trial."""
    return "NNI_TRIAL_JOB_ID" in os.environ


def outside_trial() -> AbstractContextManager[None]:
    """Hide from the block that this process is a trial: runs in it report nothing to NNI by themselves."""
    return changed_environment({"NNI_TRIAL_JOB_ID": None})


def trial_parameters() -> dict[str, Any]:
    """The parameters that NNI chose for this trial; empty outside a trial.

    `nni.get_next_parameter` may be called once per trial, so under torchrun rank 0 calls it and shares the
    result in a file.

    Raises:
        UserError: rank 0 shared nothing in time.
    """
    if not is_trial():
        return {}
    folder, launch = os.environ.get("NNI_OUTPUT_DIR", "."), os.environ.get("TORCHELASTIC_RUN_ID", "")
    shared = Path(folder) / f"parameters-{launch}.json"
    if global_rank():
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while not shared.exists():
            if time.monotonic() > deadline:
                raise UserError(f"rank 0 has not shared the trial's parameters in {shared}")
            time.sleep(0.2)
        parameters: dict[str, Any] = json.loads(shared.read_text("utf-8"))
        return parameters
    import nni  # takes seconds, and most commands are not trials

    parameters = dict(nni.get_next_parameter() or {})
    if world_size() > 1:
        write_json(shared, parameters)
    return parameters


class Trial:
    """The channel from this process, which is a trial, to NNI's manager.

    Make it before an experiment starts inside the trial, which replaces the channel behind
    `nni.report_intermediate_result` by its own.
    """

    def __init__(self) -> None:
        import nni.trial  # takes seconds
        from nni.runtime.trial_command_channel import get_default_trial_command_channel

        self._channel = get_default_trial_command_channel()
        self._job = os.environ["NNI_TRIAL_JOB_ID"]
        self._parameters = (nni.trial._params or {}).get("parameter_id")

    def send(self, kind: str, sequence: int, values: Mapping[str, float | str | None]) -> None:
        """Report metrics to NNI.

        Args:
            kind: NNI's type of metric, PERIODICAL or FINAL.
            sequence: number of the metric among those of its kind.
            values: metrics by name. NNI plots and optimizes the first of `MAIN_METRICS` among them; the rest,
                which may be text, are columns of the web UI.
        """
        known = {name: value for name, value in values.items() if value is not None}
        main = float(next(known[name] for name in MAIN_METRICS if name in known))
        shown = {
            name: value if isinstance(value, str) else round(float(value), DIGITS)
            for name, value in known.items()
        }
        self._channel.send_metric(
            type=kind,
            parameter_id=self._parameters,
            trial_job_id=self._job,
            sequence=sequence,
            value={"default": main, **shown},
        )

    def offer_tensorboard(self, events: Path) -> None:
        """Put the event files in `events` where the button "TensorBoard" of NNI's web UI looks for them.

        NNI 3.0 looks in another folder than the one that it gives to a trial. Trials on other machines have
        no such folder.
        """
        output = Path(os.environ.get("NNI_OUTPUT_DIR", "."))
        if os.environ.get("NNI_PLATFORM") != "local" or output.parts[-4:-1] != _LOCAL_TRIALS:
            return
        link = output.parents[3] / "trials" / self._job / "output" / "tensorboard"
        link.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            link.symlink_to(events.absolute())


def is_result(values: Mapping[str, object]) -> bool:
    """Whether the values have a metric for NNI to plot and optimize."""
    return any(values.get(name) is not None for name in MAIN_METRICS)


def shown_of_summary(summary: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What a trial shows of a run in `folder` with this summary."""
    shown = {name: summary[name] for name in SHOWN_OF_SUMMARY if summary.get(name) is not None}
    return shown | {"run": str(folder.absolute())}


def report_finished(summary: Mapping[str, Any], folder: Path) -> None:
    """Give NNI the result of a run in `folder` that an earlier trial with the same options has completed."""
    if is_trial() and is_result(summary):
        Trial().send("FINAL", 0, shown_of_summary(summary, folder))
