import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import UserError
from search_spaces.nas_bench_201 import OPERATIONS, NasBench201Genotype
from search_spaces.nas_bench_201.genotype import COUNT
from tests.search_spaces.nas_bench_201.cells import CELL, TEXT

genotypes = st.tuples(*[st.sampled_from(OPERATIONS)] * 6).map(NasBench201Genotype)


@given(genotypes)
def test_every_form_reads_back_to_the_same_cell(genotype):
    for again in (
        NasBench201Genotype.from_sample(genotype.to_sample()),
        NasBench201Genotype.from_dict(genotype.to_dict()),
        NasBench201Genotype.from_text(str(genotype)),
        NasBench201Genotype.from_text(f"Structure(4 nodes with {genotype})\nepoch 2: {genotype}"),
    ):
        assert again == genotype
        assert hash(again) == hash(genotype)


def test_is_written_as_the_table_writes_it():
    assert str(CELL) == TEXT
    assert CELL.edges("cell") == (
        ("nor_conv_3x3", 0),
        ("nor_conv_1x1", 0),
        ("avg_pool_3x3", 1),
        ("skip_connect", 0),
        ("nor_conv_3x3", 1),
        ("none", 2),
    )
    assert CELL.parameter_free_share == 0.5


def test_all_cells_are_those_of_the_table(real_data):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(real_data / "nas_bench_201" / "accuracies.parquet")
    names = [str(genotype) for genotype in NasBench201Genotype.all()]
    assert len(names) == COUNT
    assert set(names) == set(table["cell"])


def test_draws_uniformly():
    rng = np.random.default_rng(0)
    drawn = [NasBench201Genotype.random(rng).operations for _ in range(2000)]
    for edge in range(6):
        counts = [sum(operations[edge] == name for operations in drawn) for name in OPERATIONS]
        assert max(abs(count - 400) for count in counts) < 90  # five standard deviations


def test_edges_of_a_node_may_stand_in_any_order():
    assert (
        NasBench201Genotype.from_text(
            "|nor_conv_3x3~0|+|avg_pool_3x3~1|nor_conv_1x1~0|+|none~2|skip_connect~0|nor_conv_3x3~1|"
        )
        == CELL
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("none", "nonee"), "unknown operation 'nonee' .did you mean 'none'"),
        (TEXT.replace("none~2", "none~3"), "is no cell of NAS-Bench-201, which is written"),
        (TEXT.replace("|none~2|", "|none~2|none~1|"), "is no cell of NAS-Bench-201"),
        (TEXT[: TEXT.rindex("+")], "is no cell of NAS-Bench-201"),
        (f"{TEXT}+|none~0|", "is no cell of NAS-Bench-201"),
        ("Genotype(normal=[])", "no cell of NAS-Bench-201 in the text"),
        (f"{TEXT}\n{TEXT.replace('none', 'skip_connect')}", "holds 2 different cells, in lines 1, 2"),
        (f"epoch 1\n{TEXT.replace('none~2', 'none~x')}", "line 2: .* is no cell"),
    ],
)
def test_says_what_is_no_cell(text, message):
    with pytest.raises(UserError, match=message):
        NasBench201Genotype.from_text(text)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"normal": []}, "unknown genotype key 'normal'"),
        ({}, "'cell' must be a text"),
        ({"cell": ["none"] * 6}, "'cell' must be a text"),
    ],
)
def test_says_what_is_no_json_form(value, message):
    with pytest.raises(UserError, match=message):
        NasBench201Genotype.from_dict(value)


def test_says_what_is_no_sample():
    sample = CELL.to_sample()
    with pytest.raises(UserError, match=r"lacks 'cell/op_3_2'"):
        NasBench201Genotype.from_sample({k: v for k, v in sample.items() if k != "cell/op_3_2"})
    with pytest.raises(UserError, match=r"unknown label of the sample 'cell/op_4_0'"):
        NasBench201Genotype.from_sample({**sample, "cell/op_4_0": "none"})
    with pytest.raises(UserError, match="a cell of NAS-Bench-201 has 6 operations, not 5"):
        NasBench201Genotype(CELL.operations[:5])
