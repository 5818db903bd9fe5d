"""What Slurm's commands are asked, and what is read from their answers."""

import subprocess
from pathlib import Path

import pytest

from nastransfer_nni.study import slurm_queue
from nastransfer_nni.study.config import RunConfig
from nastransfer_nni.study.slurm_options import SlurmOptions, seconds
from nastransfer_nni.study.slurm_queue import Queue, SlurmError, Task, counted, overview
from search_spaces.errors import UserError

SEARCHES = ["random-seed0", "darts-seed0", "random-seed1"]


@pytest.fixture
def queue(tmp_path):
    made = Queue("small", tmp_path)
    made.add(SEARCHES)
    return made


def test_array_has_the_searches_and_what_a_task_gets(slurm, queue, monkeypatch):
    options = SlurmOptions(
        partition="gpu", time="2-12", gpus="a100:1", cpus=8, mem="16G", sbatch="qos=long --exclude=n7,n8"
    )
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1")
    submitted = queue.submit(["random-seed1", "random-seed0"], 4, options, "run")
    assert submitted == ["random-seed0", "random-seed1"]
    assert slurm.arguments("sbatch") == [
        f"--job-name={queue.name}",
        "--array=0,2%4",
        f"--output={queue.root}/logs/slurm-%A_%a.txt",
        "--open-mode=append",
        "--requeue",
        "--partition=gpu",
        "--time=2-12",
        "--gpus=a100:1",
        "--cpus-per-task=8",
        "--mem=16G",
        "--signal=B:TERM@60",
        "--qos=long",
        "--exclude=n7,n8",
    ]


def test_task_runs_the_search_of_its_index_on_its_cores(slurm, queue):
    queue.submit(SEARCHES, 1, SlurmOptions(), """bash -c 'echo "$0 $OMP_NUM_THREADS"' "$search" """)
    for index, search in enumerate(SEARCHES):
        env = {"SLURM_ARRAY_TASK_ID": str(index), "SLURM_CPUS_ON_NODE": "3", "PATH": "/usr/bin:/bin"}
        ran = subprocess.run(
            ["bash"], input=slurm.script, env=env, capture_output=True, text=True, check=True
        )
        assert ran.stdout == f"{search} 3\n"


def test_one_squeue_finds_all_tasks(slurm, queue):
    slurm.squeue(
        f"7|0|{queue.name}|FAILED|n1|NonZeroExitCode",
        f"9|0|{queue.name}|PENDING||Priority",
        f"8|1|{queue.name}|TIMEOUT|n2|TimeLimit",
        f"7|1|{queue.name}|COMPLETED|n2|None",
        "9|2|another-study|RUNNING|n3|None",
        f"9|99|{queue.name}|RUNNING|n3|None",
    )
    tasks = queue.tasks()
    assert tasks == {
        "random-seed0": Task("9", 0, "PENDING", "", "Priority"),
        "darts-seed0": Task("8", 1, "TIMEOUT", "n2", "TimeLimit"),
    }
    assert slurm.calls("squeue") == 1
    assert counted(tasks.values()) == "0 running, 1 pending (Priority 1)"


def test_numbers_stay_when_a_study_grows(queue, tmp_path):
    queue.add(["new-seed0", *reversed(SEARCHES)])
    again = Queue("small", tmp_path)
    assert again.searches == [*SEARCHES, "new-seed0"]
    assert again.name == queue.name != Queue("small", tmp_path / "other").name


def test_searches_beyond_the_size_of_an_array_have_another_name(slurm, queue, monkeypatch):
    monkeypatch.setattr(slurm_queue, "ARRAY_SIZE", 2)
    assert queue.submit(SEARCHES, 1, SlurmOptions(), "run") == SEARCHES[:2]
    assert queue.submit(SEARCHES[2:], 1, SlurmOptions(), "run") == SEARCHES[2:]
    assert slurm.arguments("sbatch")[:2] == [f"--job-name={queue.name}.1", "--array=0%1"]
    log = slurm.arguments("sbatch")[2].removeprefix("--output=").replace("%A", "3").replace("%a", "0")
    Path(log).write_text("out of memory\n")
    assert queue.last_words(SEARCHES[2]) == f"out of memory (log: {log})"
    assert not queue.last_words(SEARCHES[0])
    slurm.squeue(f"3|0|{queue.name}.1|RUNNING|n1|None")
    assert list(queue.tasks()) == SEARCHES[2:]


def test_status_shows_tasks_and_how_they_ended(slurm, queue, tmp_path):
    slurm.squeue(f"9|0|{queue.name}|RUNNING|n1|None", f"9|1|{queue.name}|PENDING||Resources")
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "slurm-9_2.txt"
    log.write_text("slurmstepd: error: *** JOB 12 CANCELLED DUE TO TIME LIMIT ***\n")
    assert overview("small", tmp_path, SEARCHES) == [
        f"  Slurm, {queue.name}: 1 running, 1 pending (Resources 1)",
        "    9_0 on n1: random-seed0",
        f"  ended in Slurm: random-seed1: {log.read_text().strip()} (log: {log})",
    ]
    slurm.refuse("squeue", "slurm_load_jobs error: Unable to contact slurm controller\n")
    shown = overview("small", tmp_path, SEARCHES)
    assert shown == ["  Slurm: squeue: slurm_load_jobs error: Unable to contact slurm controller"]
    assert overview("small", tmp_path / "another", SEARCHES) == []


def test_refusal_is_one_line(slurm, queue):
    slurm.refuse(
        "sbatch", "sbatch: error: invalid partition\nsbatch: error: Batch job submission failed: no\n"
    )
    with pytest.raises(SlurmError, match=r"^sbatch: Batch job submission failed: no$"):
        queue.submit(SEARCHES, 1, SlurmOptions(), "run")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 5400),
        ("1:30", 90),
        ("12:00:00", 43_200),
        ("2-12", 216_000),
        ("1-0:30", 88_200),
        ("1-1:1:1", 90_061),
    ],
)
def test_time_limits_are_read_as_sbatch_reads_them(text, expected):
    assert seconds(text) == expected
    assert seconds("UNLIMITED") == float("inf")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": "two hours"}, "--time: must be a time limit of Slurm"),
        ({"time": "1"}, "--time 1 is over before --save-seconds 60"),
        ({"gpus": "two"}, "--gpus: must be written as Slurm does, such as 1"),
        ({"mem": "16 GB"}, "--mem: must be written as Slurm does, such as 16G"),
        ({"cpus": 0}, "--cpus"),
        ({"interval": 0}, "--interval"),
        ({"sbatch": "array=1-3"}, "--array of sbatch is set by this engine"),
        ({"sbatch": "cpus-per-task=2"}, "--cpus-per-task has an option of its own here: --cpus"),
        ({"sbatch": "-x node7"}, "--sbatch: must be options with their values"),
        ({"sbatch": "comment='open"}, "--sbatch: no closing quotation"),
        ({"engine": "local", "partition": "gpu"}, "--partition needs --engine slurm"),
    ],
)
def test_bad_options_are_refused(slurm, options, message):
    with pytest.raises(UserError, match=message):
        RunConfig.create({"file": "study.yml", "engine": "slurm", **options})


def test_options_reach_the_engine(slurm):
    config = RunConfig.create({"file": "study.yml", "engine": "slurm", "time": 90, "gpus": 1})
    assert config.settings.slurm == SlurmOptions(time="90", gpus="1")


def test_machine_without_slurm_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="--engine slurm needs sbatch, which is not on this machine's PATH"):
        RunConfig.create({"file": "study.yml", "engine": "slurm"})
