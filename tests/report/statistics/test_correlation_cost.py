import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nastransfer_nni.report.statistics import reading, table
from nastransfer_nni.report.statistics.comparison import compare
from nastransfer_nni.report.statistics.correlation import coefficients, correlations
from nastransfer_nni.report.statistics.cost import cost_table
from nastransfer_nni.report.statistics.options import AnalysisOptions
from tests.report.statistics.studies import study

OPTIONS = AnalysisOptions(replicates=1000)


def cells(source, target, **columns):
    frame = pd.DataFrame({"source_top1": source, "top1": target, "search_seed": range(len(source))})
    return reading.check(frame.assign(target="t", strategy="a", source="s", **columns))[0]


def test_coefficients_equal_scipys():
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    found = coefficients(x, y, ["a"] * 40, 0.95)
    pearson = stats.pearsonr(x, y)
    low, high = pearson.confidence_interval()
    assert found["Pearson's r"] == pytest.approx((pearson.statistic, low, high))
    assert found["Spearman's rho"][0] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found["Kendall's tau-b"][0] == pytest.approx(stats.kendalltau(x, y).statistic)


def test_intervals_of_correlations_cover():
    rng = np.random.default_rng(0)
    rho = 0.6
    truths = {
        "Pearson's r": rho,
        "Spearman's rho": 6 / np.pi * np.arcsin(rho / 2),
        "Kendall's tau-b": 2 / np.pi * np.arcsin(rho),
    }
    covered = dict.fromkeys(truths, 0)
    for _ in range(1000):
        x = rng.normal(size=25)
        y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=25)
        for name, (_, low, high) in coefficients(x, y, ["a"] * 25, 0.95).items():
            covered[name] += low <= truths[name] <= high
    assert all(930 <= count <= 975 for count in covered.values()), covered


def test_recall_and_regret_by_hand():
    found = correlations(cells([9, 8, 7, 6, 5, 4], [4, 9, 8, 5, 6, 7]), OPTIONS)[0]
    # chosen on the source: 4, 9, 8; best on the target: 9, 8, 7
    assert found.recall == {1: 0.0, 3: pytest.approx(2 / 3)}
    assert found.regret == pytest.approx(5)


def test_trainings_of_one_cell_are_one_dot_and_sources_stay_apart():
    rows, _ = reading.check(study(trainings=3))
    found = correlations(rows, OPTIONS)
    assert [each.source for each in found] == ["imagenet1k", "cifar10"]
    assert len(found[1].cells) == 5 * 4 * 2
    one = rows[(rows["source"] == "cifar10") & (rows["strategy"] == "enas")]
    expected = one.groupby("genotype", sort=False)["top1"].mean().to_numpy()
    assert np.allclose(found[1].cells.query("strategy == 'enas'")["top1"], expected)


def test_a_perfect_correlation_and_a_constant_break_nothing():
    found = correlations(cells(range(50, 60), range(60, 70)), OPTIONS)[0]
    value, low, high = found.coefficients["Pearson's r"]
    assert value == pytest.approx(1)
    assert np.isnan([low, high]).all()
    assert correlations(cells([50] * 10, range(60, 70)), OPTIONS) == []


def test_cells_of_one_strategy_are_a_cluster():
    rng = np.random.default_rng(0)
    strategies = np.repeat(list("abcdef"), 8)
    shared = np.repeat(rng.normal(size=(2, 6)), 8, axis=1)
    x, y = shared + 0.3 * rng.normal(size=(2, 48))
    low, high = coefficients(x, y, [*strategies], 0.95)["Kendall's tau-b"][1:]
    alone = coefficients(x, y, ["a"] * 48, 0.95)["Kendall's tau-b"][1:]
    assert high - low > 1.5 * (alone[1] - alone[0])
    two = coefficients(x, y, [*np.repeat(list("ab"), 24)], 0.95)["Kendall's tau-b"]
    assert np.isnan(two[1:]).all()


def test_within_and_between_strategies_can_have_opposite_signs():
    order = np.arange(8)
    frames = [
        cells(10 * i + order, 20 + 10 * i - order).assign(strategy=name) for i, name in enumerate("abcde")
    ]
    found = correlations(pd.concat(frames, ignore_index=True), OPTIONS)[0]
    assert found.within[0] == pytest.approx(-1)
    assert found.between[0] == pytest.approx(1)
    assert found.clusters == 5


def test_what_the_size_alone_predicts_and_the_best_tenth_stand_beside_it():
    rng = np.random.default_rng(0)
    source = rng.normal(size=60)
    frame = cells(50 + source, 60 + source + rng.normal(size=60), params=10.0**6 * (5 + source))
    found = correlations(frame, OPTIONS)[0]
    assert set(found.alone) == {"params"}
    assert found.alone["params"][0] == pytest.approx(found.coefficients["Kendall's tau-b"][0])
    top = frame.nlargest(6, "source_top1")
    assert found.best_tenth[0] == pytest.approx(stats.kendalltau(top["source_top1"], top["top1"]).statistic)


def test_searches_that_found_one_cell_are_one_dot():
    frame = cells([90, 91, 92, 93, 94, 94], [80, 81, 83, 82, 84, 84], genotype=list("abcdee"))
    assert len(correlations(frame, OPTIONS)[0].cells) == 5


def test_the_front_of_each_setting_is_what_no_row_beats_in_cost_and_accuracy():
    found = cost_table(compare(reading.check(study(targets=("a", "b")))[0], OPTIONS))
    assert found["setting"].nunique() == 2
    for _, rows in found.groupby("setting"):
        for row in rows.itertuples():
            cheaper = rows[(rows["search_seconds"] <= row.search_seconds) & (rows.index != row.Index)]
            assert row.on_front == (cheaper["top1"] < row.top1).all()


def test_costs_that_are_not_known_are_left_out_and_random_costs_nothing():
    frame = study()
    frame.loc[frame["strategy"] == "enas", "search_seconds"] = np.nan
    found = cost_table(compare(reading.check(frame)[0], OPTIONS))
    assert set(found["strategy"]) == {"darts (order=2)", "evolution", "nsga2", "random_ws", "random"}
    assert found.set_index("strategy").loc["random", "search_seconds"] == 0


def test_a_setting_without_known_search_costs_has_no_rows():
    frame = study(targets=("a", "b"))
    frame.loc[frame["target"] == "a", "search_seconds"] = np.nan
    found = cost_table(compare(reading.check(frame)[0], OPTIONS))
    assert set(found["setting"]) == {"b, protocol large-batch-imagenet"}


def test_what_scorers_took_is_part_of_the_cost():
    """A proxy whose scorers take longer than all searches puts its strategies off the front."""
    frame = study().assign(search_samples=100.0, search_forward_samples=10.0, proxy_seconds=0.0)
    is_darts = frame["strategy"] == "darts"
    frame.loc[is_darts, ["proxy_seconds", "proxy_samples", "proxy_forward_samples"]] = [1e9, 7.0, 5.0]
    found = cost_table(compare(reading.check(frame)[0], OPTIONS))
    before = cost_table(compare(reading.check(study())[0], OPTIONS))
    is_darts = (found["strategy"] == "darts (order=2)").to_numpy()
    assert (found["search_seconds"] - before["search_seconds"]).tolist() == [1e9 * one for one in is_darts]
    assert found["proxy_seconds"].tolist() == [1e9 * one for one in is_darts]
    is_other = (~is_darts & (found["strategy"] != "random")).tolist()
    assert found["images"].tolist() == [
        107 * one + 100 * other for one, other in zip(is_darts, is_other, strict=True)
    ]
    assert (found["forward_images"][is_darts] == 15).all() and not found["on_front"][is_darts].any()
    assert before["forward_images"][is_darts].isna().all(), "tables of before do not have them"


def test_tables_without_the_newer_columns_are_still_a_reports_own(tmp_path):
    frame = reading.check(study())[0]
    frame["top1"] = frame["top1"] / 100  # small, but in percent where a report has written the table
    newer = [name for name in table.ADDED if name in frame]
    frame.drop(columns=newer).to_csv(tmp_path / "old.csv", index=False)
    rows, _ = reading.read(tmp_path / "old.csv")
    assert rows["top1"].max() < 1 and set(newer) <= set(rows.columns)
