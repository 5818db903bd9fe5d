import os

import pytest

from nastransfer_nni.base.environment import _granted_cores, available_cores, changed_environment


def test_variables_are_restored(monkeypatch):
    monkeypatch.setenv("ONE", "1")
    monkeypatch.setenv("TWO", "2")
    monkeypatch.delenv("THREE", raising=False)
    with pytest.raises(RuntimeError), changed_environment({"ONE": None, "TWO": "22", "THREE": "3"}):
        assert "ONE" not in os.environ
        assert (os.environ["TWO"], os.environ["THREE"]) == ("22", "3")
        raise RuntimeError
    assert (os.environ["ONE"], os.environ["TWO"]) == ("1", "2")
    assert "THREE" not in os.environ


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5, 7}, raising=False)
    assert available_cores() == 3


@pytest.mark.parametrize(
    ("membership", "files", "granted"),
    [
        ("0::/", {"cpu.max": "250000 100000\n"}, [3]),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "100000 100000"}, [1]),
        ("0::/outside/of/the/container", {"cpu.max": "50000 100000"}, [1]),
        (
            "3:cpu,cpuacct:/a\n0::/",
            {"cpu/a/cpu.cfs_quota_us": "400000", "cpu/a/cpu.cfs_period_us": "100000"},
            [4],
        ),
        ("3:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, []),
        ("7:memory:/", {"cpu.max": "odd"}, []),
        (None, {}, []),
    ],
)
def test_the_time_that_a_container_grants_limits_the_cores(membership, files, granted, tmp_path):
    if membership is not None:
        (tmp_path / "cgroup").write_text(membership)
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    assert list(_granted_cores(tmp_path / "cgroup", tmp_path / "root")) == granted
