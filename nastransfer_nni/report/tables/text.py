"""Numbers as the text of tables, and tables of text as Markdown and LaTeX."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping

import pandas as pd

from nastransfer_nni.report.statistics.table import place_name

LATEX_MATH = str.maketrans({character: f"${character}$" for character in "<>|"})
"""Characters that pandas does not escape, and that LaTeX prints as others outside of formulas."""


def text_table(columns: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """A frame of text with the given columns, without those that are empty in every row."""
    frame = pd.DataFrame({name: list(values) for name, values in columns.items()}, dtype=object)
    return frame[[name for name in frame.columns if (frame[name] != "").any()]]


def numbers(values: Iterable[float], form: str) -> list[str]:
    """Each value in the format `form`, such as `{:.2f}`; empty for NaN."""
    return ["" if math.isnan(value) else form.format(value) for value in values]


def quantities(values: Iterable[float]) -> list[str]:
    """Each value in three digits with its thousands, millions or billions, such as `28.6K`; empty for NaN."""
    return ["" if math.isnan(value) else _quantity(value) for value in values]


def intervals(low: Iterable[float], high: Iterable[float]) -> list[str]:
    """Each interval in two decimals, such as `1.20 to 3.45`; empty for NaN."""
    return ["" if math.isnan(a) else f"{a:.2f} to {b:.2f}" for a, b in zip(low, high, strict=True)]


def p_value(p: float) -> str:
    """A p-value in three decimals; empty for NaN."""
    return "" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def places(rows: pd.DataFrame) -> list[str]:
    """Source and proxy of each row in one name."""
    return [place_name(source, proxy) for source, proxy in zip(rows["source"], rows["proxy"], strict=True)]


def markdown(frame: pd.DataFrame) -> str:
    """A frame of text as a Markdown table."""
    lines = [list(frame.columns), ["---"] * frame.shape[1], *frame.to_numpy().tolist()]
    return "".join("| " + " | ".join(markdown_text(cell) for cell in line) + " |\n" for line in lines)


def latex(frame: pd.DataFrame) -> str:
    """A frame of text as a LaTeX table, which needs the package booktabs."""
    text = str(frame.to_latex(index=False, escape=True))
    return text.translate(LATEX_MATH)


def _quantity(value: float) -> str:
    rounded = float(f"{value:.3g}")
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if rounded >= size:
            return f"{rounded / size:#.3g}".rstrip(".") + unit
    return f"{rounded:g}"


def markdown_text(text: str) -> str:
    """The text so that Markdown shows it as it is: no markup, no HTML, one line."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)|^(?:[#+-]|\d+[.)])(?= )", r"\\\g<0>", escaped)


def markdown_code(text: str) -> str:
    """The text as a span of code, fenced so that no backtick in it ends the span."""
    line = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence}{line}{fence}" if len(fence) == 1 else f"{fence} {line} {fence}"
