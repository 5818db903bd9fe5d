"""What is refused in a results table although each of its fields is good."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from nastransfer_nni.report.statistics.table import SEEDS, TEXT, label, place_name, settings
from search_spaces.errors import UserError

IDENTITY = (*TEXT, *SEEDS, "genotype")


def row_name(index: Hashable) -> str:
    """The row in the file, as an editor or a spreadsheet counts: the header is row 1."""
    return f"row {int(str(index)) + 2}"


def refuse_mixed_units(table: pd.DataFrame, names: Mapping[str, str]) -> None:
    """Refuse accuracies, or errors, of which some are in percent and others fractions.

    A value of 1 or less among larger ones of the same target and protocol counts as a fraction if it is near
    them once it is multiplied by 100: a network that has learned nothing may have a top-1 of 0.1%.

    Args:
        table: results table.
        names: what the file calls its columns.

    Raises:
        UserError: names a row in percent and a row with a fraction.
    """
    for column, group in (("top1", ["target", "protocol", "protocol_hash"]), ("source_top1", ["source"])):
        values = table[column]
        is_known = table["top5"] > 1 if column == "top1" else pd.Series(False, index=table.index)
        is_small = (values > 0) & (values <= 1) & ~is_known
        large = values.where(values > 1)
        typical = large.groupby([table[name].fillna("") for name in group]).transform("median")
        is_fraction = is_small & ~(100 * values < typical / 5) & ~(100 * values > 2 * typical)
        if not is_fraction.any():
            continue
        row = table.index[is_fraction].tolist()[0]
        is_near = typical.eq(typical[row]) | pd.isna(typical[row])
        for other in (column, "top1"):
            beside = table.index[(table[other] > 1) & is_near].tolist()
            if beside:
                one = f"{row_name(beside[0])}: {names.get(other, other)} is {table[other][beside[0]]:g}"
                two = f"{row_name(row)}: {names.get(column, column)} is {values[row]:g}"
                raise UserError(
                    f"{one}, {two}; is one in percent and the other a fraction? Write all accuracies in "
                    f"percent, and this one as {values[row]:g}% if it is right"
                )


def without_repeated_runs(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each run once: a run that is listed again with the same result is left out.

    Only rows with a search seed can tell: without one, each row is a search of its own.

    Raises:
        UserError: a run is listed twice with different results; the message names the rows.
    """
    is_again = table.duplicated([*IDENTITY, "top1"]) & (table["search_seed"] != "")
    kept = table[~is_again]
    seeded = kept[kept["search_seed"] != ""]
    repeated = seeded[seeded.duplicated(list(IDENTITY), keep=False)]
    if len(repeated):
        first = repeated.iloc[0]
        is_same = (repeated[list(IDENTITY)] == first[list(IDENTITY)]).all(axis=1)
        rows = [int(row) for row in repeated.index[is_same][:2]]
        where = " and ".join(str(repeated["run"][row]) or str(row + 2) for row in rows)
        name = label(first["strategy"], first["strategy_options"])
        raise UserError(
            f"{'runs' if first['run'] else 'rows'} {where} are the same run "
            f"({first['target']}, {name}, seed {first['search_seed']}) with different results; list it once, "
            "or tell its trainings apart by train_seed"
        )
    return kept


def refuse_equal_names(table: pd.DataFrame) -> None:
    """Refuse different strategies, places or settings that the report would show by the same name."""
    names = {(each.target, each.protocol, each.protocol_hash): each.name for each, _ in settings(table)}
    kinds: Sequence[tuple[str, list[str], Any]] = (
        ("strategies", ["strategy", "strategy_options"], label),
        ("proxies", ["source", "proxy"], place_name),
        ("protocols", ["target", "protocol", "protocol_hash"], lambda *parts: names[parts]),
    )
    for what, columns, shown in kinds:
        seen: dict[str, Hashable] = {}
        for index, *parts in table[columns].drop_duplicates().itertuples():
            name = shown(*parts)
            if name in seen:
                raise UserError(
                    f"{row_name(seen[name])} and {row_name(index)} are of different {what}, which a report "
                    f"would both call {name!r}; rename one"
                )
            seen[name] = index
