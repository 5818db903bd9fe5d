from nastransfer_nni.architecture.drawing import draw_cell, save_cells
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
