"""The report's tables: as CSV for machines, as text for HTML, Markdown and LaTeX."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from nastransfer_nni.report.statistics.correlation import Correlation
from nastransfer_nni.report.statistics.findings import Findings
from nastransfer_nni.report.statistics.improvement import Options

IMPROVEMENT = (
    "target",
    "source",
    "proxy",
    "strategy",
    "relative_improvement",
    "ci_low",
    "ci_high",
    "p_value",
    "p_holm",
    "n",
    "n_random",
)
"""The columns of relative_improvement.csv, in order."""


def improvement_csv(findings: Findings) -> pd.DataFrame:
    """relative_improvement.csv; a target that has several protocols is named together with its protocol."""
    targets = findings.table.groupby("target")[["protocol", "protocol_hash"]].apply(
        lambda rows: len(rows.drop_duplicates())
    )
    names = {
        str(each.setting): each.setting.target if targets[each.setting.target] == 1 else str(each.setting)
        for each in findings.comparisons
    }
    frame = findings.improvement.assign(target=findings.improvement["setting"].map(names))
    return frame[[*IMPROVEMENT]]


def improvement(rows: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Relative improvement over random as text."""
    return _filled(
        {
            "Proxy": _places(rows),
            "Strategy": rows["strategy"],
            "Top-1 %": _numbers(rows["mean"], "{:.2f}"),
            "RI %": _numbers(rows["relative_improvement"], "{:+.2f}"),
            f"{options.confidence:.0%} interval": _spans(rows["ci_low"], rows["ci_high"]),
            "p": [p_text(p) for p in rows["p_holm"]],
            f"p beyond ±{options.margin:g}%": [p_text(p) for p in rows["p_equivalent_holm"]],
            "Runs": [f"{a} and {b} random" for a, b in zip(rows["n"], rows["n_random"], strict=True)],
            "Finding": [finding(row, options) for row in rows.to_dict("records")],
        }
    )


def finding(row: dict[Any, Any], options: Options) -> str:
    """A verdict in words."""
    words = {
        "insufficient": "insufficient: too few runs",
        "undecided": "cannot tell",
        "equivalent": f"equivalent within {options.margin:g}%",
    }
    word = words.get(row["verdict"], row["verdict"])
    is_small = row["verdict"] in ("better", "worse") and row["p_equivalent_holm"] < options.alpha
    return f"{word}, by less than {options.margin:g}%" if is_small else str(word)


def summary(rows: pd.DataFrame, options: Options) -> pd.DataFrame:
    """The results table in short as text."""
    return _filled(
        {
            "Proxy": _places(rows),
            "Strategy": rows["strategy"],
            "Top-1 %": _numbers(rows["top1"], "{:.2f}"),
            f"{options.confidence:.0%} interval": _spans(rows["ci_low"], rows["ci_high"]),
            "Params": _numbers(rows["params"] / 1e6, "{:.2f}M"),
            "Mult-adds": _numbers(rows["mult_adds"] / 1e6, "{:.1f}M"),
            "Parameter-free": _numbers(100 * rows["parameter_free_share"], "{:.0f}%"),
            "Search": [duration(seconds) for seconds in rows["search_seconds"]],
            "Search images": _numbers(rows["search_samples"], "{:,.0f}"),
            "Training": [duration(seconds) for seconds in rows["train_seconds"]],
            "Runs": [_runs(row) for row in rows.to_dict("records")],
        }
    )


def movements(rows: pd.DataFrame) -> pd.DataFrame:
    """How rankings move between proxies, as text."""
    return pd.DataFrame(
        {
            "Proxies": rows["proxy_a"] + " and " + rows["proxy_b"],
            "Tau-b": _numbers(rows["tau"], "{:.2f}"),
            "tau's interval": _spans(rows["tau_low"], rows["tau_high"]),
            "Rho": _numbers(rows["rho"], "{:.2f}"),
            "rho's interval": _spans(rows["rho_low"], rows["rho_high"]),
            "Same best": _numbers(100 * rows["same_best"], "{:.0f}%"),
            "Swaps beyond chance": [
                ("; ".join(swaps) or "none") if enough else "insufficient: too few runs"
                for swaps, enough in zip(rows["swaps"], rows["sufficient"], strict=True)
            ],
        }
    )


def correlation(results: list[Correlation]) -> pd.DataFrame:
    """Source against target accuracy, as text."""
    rows = []
    for result in results:
        row = {"Source": result.source, "Cells": str(len(result.cells))}
        for name, (value, low, high) in result.coefficients.items():
            row[name] = f"{value:.2f} ({low:.2f} to {high:.2f})"
        row["Top-k recall"] = ", ".join(f"{share:.0%} of {k}" for k, share in result.recall.items())
        row["Regret"] = f"{result.regret:.2f} points"
        if not result.sufficient:
            row["Finding"] = "insufficient: too few cells"
        rows.append(row)
    return _filled(
        {name: [row.get(name, "") for row in rows] for name in dict.fromkeys(k for r in rows for k in r)}
    )


def cost(rows: pd.DataFrame) -> pd.DataFrame:
    """Search cost against accuracy, as text."""
    rows = rows.sort_values("search_seconds", kind="stable")
    return _filled(
        {
            "Proxy": rows["proxy"],
            "Strategy": rows["strategy"],
            "Search": [duration(seconds) if seconds else "none" for seconds in rows["search_seconds"]],
            "Top-1 %": _numbers(rows["top1"], "{:.2f}"),
            "Pareto front": ["yes" if on_front else "" for on_front in rows["on_front"]],
        }
    )


def markdown(frame: pd.DataFrame) -> str:
    """A table of text as Markdown."""
    lines = [list(frame.columns), ["---"] * frame.shape[1], *frame.to_numpy().tolist()]
    return (
        "\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines)
        + "\n"
    )


def latex(frame: pd.DataFrame) -> str:
    """A table of text as LaTeX (needs the package booktabs)."""
    escaped = frame.rename(columns=_escaped).map(_escaped)
    return str(escaped.to_latex(index=False))


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    if math.isnan(seconds):
        return ""
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= (2 if unit == "days" else 1) * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def p_text(p: float) -> str:
    """A p-value in three decimals."""
    return "" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _escaped(text: str) -> str:
    for character in "&%_#$":
        text = text.replace(character, "\\" + character)
    return text.replace("<", "$<$")


def _runs(row: dict[Any, Any]) -> str:
    parts = [str(row["n"])]
    if row["searches"] != row["n"]:
        parts.append(f"{row['searches']} searches")
    if row["proxy_draws"] > 1:
        parts.append(f"{row['proxy_draws']} proxy draws")
    return ", ".join(parts) + ("" if row["sufficient"] else ": too few")


def _places(rows: pd.DataFrame) -> list[str]:
    return [" / ".join(filter(None, pair)) for pair in zip(rows["source"], rows["proxy"], strict=True)]


def _numbers(values: pd.Series[Any], form: str) -> list[str]:
    return ["" if math.isnan(value) else form.format(value) for value in values]


def _spans(low: pd.Series[Any], high: pd.Series[Any]) -> list[str]:
    return ["" if math.isnan(a) else f"{a:.2f} to {b:.2f}" for a, b in zip(low, high, strict=True)]


def _filled(columns: dict[str, Any]) -> pd.DataFrame:
    """The columns that say something."""
    frame = pd.DataFrame({name: list(values) for name, values in columns.items()}, dtype=object)
    return frame[[name for name in frame.columns if (frame[name] != "").any()]]
