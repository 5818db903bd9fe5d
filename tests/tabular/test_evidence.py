from pathlib import Path

import numpy as np
import pytest

from benchmarks import evidence, evidence_page, evidence_tables
from nastransfer_nni.base.reading import read_object
from nastransfer_nni.report.statistics import reading
from nastransfer_nni.report.statistics.correlation import correlations, kendall
from nastransfer_nni.report.statistics.options import AnalysisOptions
from nastransfer_nni.report.tables.text import markdown
from nastransfer_nni.tabular.results import Rows
from nastransfer_nni.tabular.run import Opened
from tests.report.statistics.studies import study
from tests.tabular.conftest import networks
from tests.tabular.test_run import findings_of

ROOT = Path(__file__).parents[2]


def test_shuffled_names_find_five_percent_and_a_planted_standard_deviation_is_found(
    written, tmp_path, monkeypatch
):
    """120 shuffles of three comparisons: 5% has a standard error of 1.1 points, a third of the tolerance."""
    monkeypatch.setattr(evidence, "SHUFFLES", 120)
    strategies = ["random:candidates=4", "random:candidates=8", "random:candidates=12"]
    found = findings_of(written(networks(600), strategies=strategies, random_cells=100), tmp_path / "log")
    counts = evidence.checks(found, np.random.default_rng(0))
    assert counts["comparisons"] == 360
    assert counts["false"] / 360 == pytest.approx(0.05, abs=0.035)
    assert counts["found"] / 360 > 0.97


def test_a_shuffle_keeps_the_trainings_of_a_search_together():
    rows = study(draws=1, searches=4, random_cells=6, trainings=2, proxies={("s", "p"): 0.0})
    found, _ = reading.check(rows.astype(object))
    comparison = evidence.Findings(found, AnalysisOptions()).comparisons[0]
    searched, random = evidence.shuffled(comparison, np.random.default_rng(1))
    assert (searched.searches, random.searches) == (4, 6)
    assert (searched.n, random.n) == (8, 12)


@pytest.mark.parametrize(
    ("page", "name", "table"),
    [
        ("results/README.md", "proxy", evidence_tables.proxies),
        ("results/README.md", "alike", evidence_tables.agreements),
        ("results/README.md", "random", evidence_tables.gains),
        ("results/README.md", "checks", evidence_tables.checked),
        ("docs/tables.md", "taus", evidence_tables.taus),
    ],
)
def test_the_pages_show_the_stored_figures(page, name, table):
    stored = [read_object(ROOT / "results" / "evidence" / f"{body.name}.json") for body in evidence.BODIES]
    text = (ROOT / page).read_text()
    assert evidence_page.between(text, name, markdown(table([body for body in stored if body]))) == text


@pytest.mark.parametrize(
    ("name", "source", "tau", "tenth"),
    [
        ("deepnets1m", "cifar10 after 50", 0.28, -0.07),
        ("nas_bench_mr", "10 classes", 0.20, None),
        ("nas_bench_mr", "100 images a class", 0.18, None),
        ("nas_bench_mr", "10 epochs", 0.36, None),
    ],
)
def test_published_taus_are_reproduced(real_data, name, source, tau, tenth):
    opened = Opened.read(ROOT / "experiments" / f"table_{name}.yml")
    rows = Rows(opened.study, opened.networks).table()
    found = correlations(rows[rows["source"] == source], AnalysisOptions())[0]
    assert found.coefficients["Kendall's tau-b"][0] == pytest.approx(tau, abs=0.005)
    if name == "nas_bench_mr":
        assert found.alone["params"][0] == pytest.approx(0.39, abs=0.005)
    if tenth is not None:
        assert found.best_tenth[0] == pytest.approx(tenth, abs=0.005)


def test_published_taus_of_nas_bench_201_are_reproduced(real_data):
    networks = Opened.read(ROOT / "experiments" / "table_nas_bench_201_200.yml").networks
    frame, runs = networks.frame, [f"cifar10_test_ep200_run{run}" for run in range(3)]
    mean, target = frame[runs].mean(axis=1), frame["imagenet16_120_ep200"]
    assert kendall(mean, target) == pytest.approx(0.83, abs=0.005)
    best = mean.nlargest(len(frame) // 10).index
    assert kendall(mean[best], target[best]) == pytest.approx(0.27, abs=0.005)
    twice = frame.dropna(subset=runs[:2])
    assert kendall(twice[runs[0]], twice[runs[1]]) == pytest.approx(0.91, abs=0.005)
