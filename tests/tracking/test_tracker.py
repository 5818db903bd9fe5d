import json
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from nastransfer_nni.tracking.run import Run
from nastransfer_nni.tracking.tensorboard import TensorBoard
from nastransfer_nni.tracking.tracker import Tracker


def lines(run):
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def scalars(run):
    events = EventAccumulator(str(run.tensorboard))
    events.Reload()
    return {
        tag: [(e.step, round(e.value, 4)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def test_metrics_reach_the_file_and_tensorboard_under_the_same_names(tmp_path):
    with Run.open("demo", names=[], options={}, out=tmp_path / "run") as run:
        with Tracker(run) as tracker:
            tracker.log("train", step=10, epoch=0, loss=2.0, lr=0.1)
            tracker.log("validation", step=10, epoch=0, loss=float("nan"), top1=50.0)
            tracker.final(top1=50.0)
        run.complete({})
    assert lines(run) == [
        {"step": 10, "epoch": 0, "split": "train", "loss": 2.0, "lr": 0.1},
        {"step": 10, "epoch": 0, "split": "validation", "loss": None, "top1": 50.0},
    ]
    shown = scalars(run)
    assert shown["train/loss"] == [(0, 2.0)] and shown["validation/top1"] == [(0, 50.0)]
    assert shown["final/top1"] == [(0, 50.0)]


def test_a_resumed_run_shows_each_epoch_once(tmp_path):
    with (
        pytest.raises(ZeroDivisionError),
        Run.open("demo", names=[], options={}, out=tmp_path / "run") as run,
    ):
        with Tracker(run) as tracker:
            for epoch in range(3):
                tracker.log("train", step=epoch, epoch=epoch, loss=1.0)
        with run.metrics.open("a") as file:
            file.write('{"step": 3, "epo')  # killed while writing
        1 / 0  # noqa: B018
    with Run.open("demo", names=[], options={}, out=tmp_path / "run") as run:
        with Tracker(run, epochs_done=2) as tracker:
            for epoch in range(2, 4):
                tracker.log("train", step=epoch, epoch=epoch, loss=2.0)
        run.complete({})
    assert [(line["epoch"], line["loss"]) for line in lines(run)] == [(0, 1.0), (1, 1.0), (2, 2.0), (3, 2.0)]
    assert scalars(run)["train/loss"] == [(0, 1.0), (1, 1.0), (2, 2.0), (3, 2.0)]


def test_hparams_of_two_kinds_of_run_share_one_table(tmp_path):
    from tensorboard.plugins.hparams import metadata

    before = time.time()
    for name, values in {
        "a": {"job": "search", "strategy": "darts", "search_seed": 1},
        "b": {"job": "transfer", "strategy": "random", "target": "digits"},
    }.items():
        with Run.open("demo", names=[], options={}, out=tmp_path / name) as run:
            with Tracker(run) as tracker:
                tracker.hparams(**values, absent=None)
                tracker.final(top1=1.0)
            run.complete({})
        events = EventAccumulator(str(run.tensorboard))
        events.Reload()
        content = events.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
        shown = metadata.parse_session_start_info_plugin_data(content).hparams
        assert {key: value.string_value for key, value in shown.items()} == {
            key: str(value) for key, value in values.items()
        }
        start = metadata.parse_session_start_info_plugin_data(content).start_time_secs
        content = events.summary_metadata[metadata.SESSION_END_INFO_TAG].plugin_data.content
        end = metadata.parse_session_end_info_plugin_data(content).end_time_secs
        assert before <= start <= end <= time.time()
        columns = metadata.parse_experiment_plugin_data(
            events.summary_metadata[metadata.EXPERIMENT_TAG].plugin_data.content
        )
        assert {*values} <= {info.name for info in columns.hparam_infos}
        assert "final/top1" in {info.name.tag for info in columns.metric_infos}


def test_the_dashboard_has_a_chart_for_each_strategy_and_each_proxy(tmp_path):
    """A chart shows the runs of its strategy or proxy, and no others; all headings are in every run."""
    shown, curves = {}, {}
    for strategy, proxy in [("darts", "all"), ("darts", "images:0.5"), ("darts:order=2", "all")]:
        board = TensorBoard(tmp_path / strategy / proxy, None)
        board.hparams({"job": "search", "strategy": strategy, "proxy": proxy, "source": "digits"})
        board.log("validation", 0, {"top1": 10.0, "loss": 1.0})
        board.close()
        events = EventAccumulator(str(tmp_path / strategy / proxy))
        events.Reload()
        (curve,) = [tag for tag in events.Tags()["scalars"] if not tag.startswith("validation/")]
        curves[strategy, proxy] = curve
        layout = layout_pb2.Layout.FromString(
            events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
        )
        assert len(layout.category) == 4
        for category in layout.category:
            for chart in category.chart:
                shown[category.title, chart.title.removesuffix(" on digits")] = chart.multiline.tag[0]
    runs = {
        key: [run for run, curve in curves.items() if re.match(pattern, curve)]
        for key, pattern in shown.items()
    }
    assert runs == {
        ("Searches by strategy: validation top-1", "darts"): [("darts", "all"), ("darts", "images:0.5")],
        ("Searches by strategy: validation top-1", "darts:order=2"): [("darts:order=2", "all")],
        ("Searches by proxy: validation top-1", "all"): [("darts", "all"), ("darts:order=2", "all")],
        ("Searches by proxy: validation top-1", "images:0.5"): [("darts", "images:0.5")],
    }


def test_ranks_other_than_0_write_nothing(tmp_path):
    with Tracker(Run(tmp_path / "run", is_main=False)) as tracker:
        tracker.log("train", step=0, epoch=0, loss=1.0)
        tracker.hparams(a=1)
        tracker.final(top1=1.0)
    assert not (tmp_path / "run").exists()


def test_outside_a_trial_nni_is_not_imported():
    code = "import sys, nastransfer_nni.tracking; sys.exit('nni' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_inside_a_trial_nni_hears_through_the_channel_of_the_start(tmp_path, monkeypatch):
    import nni.trial
    from nni.runtime import trial_command_channel as channels

    sent = []
    outer = SimpleNamespace(send_metric=lambda **metric: sent.append(metric))
    monkeypatch.setenv("NNI_TRIAL_JOB_ID", "job")
    monkeypatch.setattr(nni.trial, "_params", {"parameter_id": 7, "parameters": {}})
    monkeypatch.setattr(channels, "_channel", outer)
    with Run.open("demo", names=[], options={}, out=tmp_path / "run") as run:
        with Tracker(run) as tracker:
            monkeypatch.setattr(channels, "_channel", None)  # as an inner experiment does
            tracker.log("train", step=5, epoch=0, top1=10.0)
            tracker.log("validation", step=5, epoch=0, top1=20.0, loss=2.0)
            tracker.log("validation", step=10, epoch=1, top1=30.0, loss=1.0)
            tracker.text("genotype", "Genotype(...)")
            tracker.final(top1=30.0, params=5)
        run.complete({})
    assert sent[-1]["value"] == {
        "default": 30.0,
        "top1": 30.0,
        "params": 5.0,
        "genotype": "Genotype(...)",
        "run": str(tmp_path / "run"),
    }
    assert [(metric["type"], metric["sequence"], metric["value"]["default"]) for metric in sent] == [
        ("PERIODICAL", 0, 20.0),
        ("PERIODICAL", 1, 30.0),
        ("FINAL", 0, 30.0),
    ]
    assert all(metric["parameter_id"] == 7 and metric["trial_job_id"] == "job" for metric in sent)
