"""The spread of accuracy between the runs of a strategy."""

import pandas as pd

from nastransfer_nni.report.tables.base import ReportTable
from nastransfer_nni.report.tables.text import numbers, text_table


def compute(findings):
    runs = [
        (str(each.setting), each.place, each.strategy, each.rows["top1"].std())
        for each in findings.comparisons
    ]
    return pd.DataFrame(runs, columns=["setting", "proxy", "strategy", "deviation"]).dropna()


def text(rows, options):
    deviation = numbers(rows["deviation"], "{:.2f} points")
    return text_table({"Proxy": rows["proxy"], "Strategy": rows["strategy"], "Deviation": deviation})


TABLE = ReportTable(
    name="spread", title="Spread between runs", compute=compute, text=text, csv="tables/spread.csv"
)
