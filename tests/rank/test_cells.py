"""Cells of known accuracy, in every form that they come in."""

import json

import numpy as np
import pytest

from nastransfer_nni.rank.cells import read
from search_spaces import Genotype, registry
from search_spaces.errors import UserError

CELLS = [Genotype.random(np.random.default_rng(seed)) for seed in range(6)]
TOP1 = [91.5, 92.0, 90.0, 93.25, 94.0, 89.0]


def quoted(genotype):
    return '"' + json.dumps(genotype.to_dict()).replace('"', '""') + '"'


def table(header="genotype,top1", sign=",", scale=1.0):
    rows = [sign.join((quoted(cell), f"{top1 * scale}")) for cell, top1 in zip(CELLS, TOP1, strict=True)]
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    "text",
    [table(), table("Architecture,Test accuracy", scale=0.01), table("arch;acc (%)", ";")],
)
def test_tables_as_people_write_them(tmp_path, text):
    (tmp_path / "cells.csv").write_text(text)
    found = read(str(tmp_path / "cells.csv"))
    assert list(found.genotypes) == CELLS
    assert found.top1 == pytest.approx(TOP1)
    assert (found.noise, found.curves, set(found.strategies)) == (None, {}, {""})


def test_errors_are_accuracies(tmp_path):
    rows = [f"{quoted(cell)},{100 - top1}" for cell, top1 in zip(CELLS, TOP1, strict=True)]
    (tmp_path / "cells.csv").write_text("\n".join(["genotype,test_err", *rows]))
    assert read(str(tmp_path / "cells.csv")).top1 == pytest.approx(TOP1)


def test_json_with_texts_objects_and_names(tmp_path):
    known = ["DARTS_V2", str(CELLS[0]), CELLS[1].to_dict(), "PDARTS", CELLS[2].to_dict()]
    entries = [{"genotype": cell, "top1": 90 + row} for row, cell in enumerate(known)]
    for content in (entries, {"cells": entries}):
        (tmp_path / "cells.json").write_text(json.dumps(content))
        found = read(str(tmp_path / "cells.json"))
        assert found.genotypes[1:3] == tuple(CELLS[:2])
        assert list(found.top1) == [90, 91, 92, 93, 94]


def test_objects_of_any_space_are_cells(tmp_path):
    cells = [registry.parse("nas_bench_201").random(np.random.default_rng(seed)) for seed in range(5)]
    entries = [{"genotype": cell.to_dict(), "top1": 90 + row} for row, cell in enumerate(cells)]
    (tmp_path / "cells.json").write_text(json.dumps(entries))
    assert read(str(tmp_path / "cells.json")).genotypes == tuple(cells)


def test_repeated_cells_tell_the_noise_and_curves_stand_beside(tmp_path):
    rows = [
        f"{quoted(cell)},{top1 + gap},{gap}"
        for cell, top1 in zip(CELLS, TOP1, strict=True)
        for gap in (-0.2, 0.2)
    ]
    (tmp_path / "cells.csv").write_text("\n".join(["genotype,final_top1,top1_epoch_5", *rows]))
    found = read(str(tmp_path / "cells.csv"))
    assert found.top1 == pytest.approx(TOP1)
    assert list(found.trainings) == [2] * 6
    assert found.noise == pytest.approx(0.2 * np.sqrt(2))
    assert found.curves[5] == pytest.approx([0] * 6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has no column genotype; name it"),
        (table("genotype,size"), "has no column top1; name it"),
        (table().replace("92.0", "good"), "row 3: top1 is 'good', which is no number"),
        (table().replace("max_pool_3x3", "max_pool_9x9"), "row .: .*max_pool_9x9"),
        (
            "genotype,top1,train_epoch_1,valid_epoch_1\n",
            "both train_epoch_1 and valid_epoch_1 are of epoch 1",
        ),
        ("\n".join(table().splitlines()[:4]), "has 3 distinct cells of known accuracy; a ranking needs 5"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    (tmp_path / "cells.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read(str(tmp_path / "cells.csv"))


def test_several_targets_need_a_choice(tmp_path):
    rows = [
        f"{quoted(cell)},{top1 - gap},{target}"
        for cell, top1 in zip(CELLS, TOP1, strict=True)
        for target, gap in (("cifar10", 0), ("imagenet1k", 20))
    ]
    path = tmp_path / "cells.csv"
    path.write_text("\n".join(["genotype,top1,dataset", *rows]))
    with pytest.raises(UserError, match="several targets; --target chooses one: cifar10, imagenet1k"):
        read(str(path))
    assert read(str(path), target="imagenet1k").top1 == pytest.approx([top1 - 20 for top1 in TOP1])
    with pytest.raises(UserError, match="cifar10"):
        read(str(path), target="cifar")
