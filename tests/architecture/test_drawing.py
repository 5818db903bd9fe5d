from dataclasses import replace

from nastransfer_nni.architecture.drawing import draw_cell, new_operations, save_cells
from search_spaces.zoo import zoo
from tests.search_spaces.nas_bench_201.cells import CELL


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_drawing_names_every_operation_of_the_cell():
    darts = zoo()["DARTS_V2"].genotype
    for genotype, kind in ((darts, "normal"), (darts, "reduce"), (CELL, "cell")):
        drawn = texts(draw_cell(genotype, kind))
        names = [name for name, _ in genotype.edges(kind)]
        assert sorted(text for text in drawn if text in set(names)) == sorted(names)


def test_lines_lead_from_the_node_that_an_operation_reads():
    """Each operation hangs from the rail of its source, and `none` does so by a dotted line."""
    axes = draw_cell(CELL, "cell").axes[0]
    lines = [line for line in axes.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
    assert [-line.get_ydata()[0] for line in lines] == [state for _, state in CELL.edges("cell")]
    assert [line.get_linestyle() for line in lines] == ["-"] * 5 + [":"]


def test_equal_genotypes_give_equal_files(tmp_path):
    (path,) = save_cells(CELL, tmp_path)
    assert path.name == "cell.svg"
    content = path.read_bytes()
    save_cells(type(CELL).from_text(str(CELL)), tmp_path)
    assert path.read_bytes() == content
    assert [path.name for path in save_cells(zoo()["PDARTS"].genotype, tmp_path)] == [
        "cell_normal.svg",
        "cell_reduce.svg",
    ]


def test_operations_that_another_cell_does_not_have_are_marked():
    """The order of a node's operations does not matter; a cell of another space has none in common."""
    genotype = zoo()["DARTS_V2"].genotype
    assert new_operations(genotype, genotype, "normal") == frozenset()
    first, second, *rest = genotype.normal
    turned = replace(genotype, normal=(second, first, *rest))
    assert new_operations(turned, genotype, "normal") == frozenset()
    changed = replace(genotype, normal=(("max_pool_3x3", first[1]), second, *rest))
    assert new_operations(changed, genotype, "normal") == {(0, ("max_pool_3x3", first[1]))}
    patches = draw_cell(changed, "normal", other=genotype).axes[0].patches
    assert sum(patch.get_linewidth() > 2 for patch in patches) == 1
    assert len(new_operations(genotype, CELL, "normal")) == len(genotype.edges("normal"))
