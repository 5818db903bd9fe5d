import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import OPERATIONS, Genotype
from search_spaces.errors import UserError
from search_spaces.genotype import CANDIDATES, CONCAT, EDGES, KINDS
from search_spaces.zoo import zoo

DARTS_V2 = zoo()["DARTS_V2"].genotype

cells = st.tuples(
    *(
        st.tuples(
            st.sampled_from(OPERATIONS),
            st.sampled_from(OPERATIONS),
            st.permutations(range(node)).map(lambda order: order[:2]),
        ).map(lambda node: ((node[0], node[2][0]), (node[1], node[2][1])))
        for node in CONCAT
    )
).map(lambda nodes: tuple(edge for node in nodes for edge in node))
genotypes = st.builds(Genotype, normal=cells, reduce=cells)


@given(genotypes)
def test_every_form_reads_back_to_the_same_edges(genotype):
    for again in (
        Genotype.from_sample(genotype.to_sample()),
        Genotype.from_dict(genotype.to_dict()),
        Genotype.from_text(str(genotype)),
        Genotype.from_text(f"epoch 3 genotype = {genotype}\n"),
    ):
        assert (again.normal, again.reduce) == (genotype.normal, genotype.reduce)


@given(genotypes)
def test_sample_survives_the_way_through_a_genotype(genotype):
    sample = genotype.to_sample()
    assert Genotype.from_sample(sample).to_sample() == sample
    assert len(sample) == 32
    assert sample["normal/op_2_0"] == genotype.normal[0][0]
    assert sample["reduce/input_5_1"] == [genotype.reduce[7][1]]


@given(genotypes, st.integers(0, 7))
def test_order_within_a_node_does_not_matter_but_everything_else_does(genotype, index):
    swapped = list(genotype.normal)
    first = 2 * (index // 2)
    swapped[first], swapped[first + 1] = swapped[first + 1], swapped[first]
    same = Genotype(tuple(swapped), genotype.reduce)
    assert same == genotype
    assert hash(same) == hash(genotype)
    operation, state = genotype.normal[index]
    other = OPERATIONS[(OPERATIONS.index(operation) + 1) % len(OPERATIONS)]
    changed = list(genotype.normal)
    changed[index] = (other, state)
    assert Genotype(tuple(changed), genotype.reduce) != genotype


def slow_derivation(mixture: np.ndarray) -> set[tuple[int, str, int]]:
    """The export rule, edge by edge, in the words of the paper."""
    chosen, row = set(), 0
    for node in CONCAT:
        strengths = []
        for state in range(node):
            best = max((w, op) for op, w in zip(CANDIDATES, mixture[row], strict=True) if op != "none")
            strengths.append((best[0], state, best[1]))
            row += 1
        strengths.sort(reverse=True)
        chosen |= {(node, operation, state) for _, state, operation in strengths[:2]}
    return chosen


@given(st.integers(0, 10_000))
def test_mixture_is_read_as_the_paper_says(seed):
    logits = np.random.default_rng(seed).normal(size=(2, EDGES, len(CANDIDATES)))
    mixtures = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    genotype = Genotype.from_mixture(*mixtures)
    for kind, mixture in zip(KINDS, mixtures, strict=True):
        edges = {(2 + i // 2, op, state) for i, (op, state) in enumerate(getattr(genotype, kind))}
        assert edges == slow_derivation(mixture)


def test_none_is_never_exported_however_heavy():
    mixture = np.full((EDGES, len(CANDIDATES)), 0.01)
    mixture[:, 0] = 0.93
    mixture[:, CANDIDATES.index("dil_conv_5x5")] = 0.02
    assert {operation for operation, _ in Genotype.from_mixture(mixture, mixture).normal} == {"dil_conv_5x5"}


def test_random_is_reproducible_and_valid():
    draws = [Genotype.random(np.random.default_rng(7)) for _ in range(2)]
    assert draws[0] == draws[1]
    rng = np.random.default_rng(0)
    assert len({Genotype.random(rng) for _ in range(200)}) == 200


def test_parameter_free_share_counts_sixteen_operations():
    assert DARTS_V2.parameter_free_share == (3 - 1 + 8) / 16  # two skips, eight of the reduction cell


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c[:-1], "must have 8"),
        (lambda c: [("conv_9x9", 0), *c[1:]], "unknown operation 'conv_9x9'"),
        (lambda c: [("none", 0), *c[1:]], "unknown operation 'none'"),
        (lambda c: [("skip_connect", 2), *c[1:]], "node 2: reads state 2; it may read 0 to 1"),
        (lambda c: [*c[:6], ("skip_connect", 5), c[7]], "node 5: reads state 5"),
        (lambda c: [("skip_connect", -1), *c[1:]], "reads state -1"),
        (lambda c: [("skip_connect", True), *c[1:]], "reads state True"),
        (lambda c: [("skip_connect", 0), ("skip_connect", 0), *c[2:]], "reads state 0 twice"),
        (lambda c: ["skip_connect", *c[1:]], "not an (operation, state) pair"),
        (lambda c: "abc", "must have 8"),
        (lambda c: None, "must have 8"),
    ],
)
def test_bad_cells_are_refused_with_their_place(change, complaint):
    broken = change([tuple(edge) for edge in DARTS_V2.normal])
    with pytest.raises(UserError, match=complaint.replace("(", r"\(").replace(")", r"\)")):
        Genotype(broken, DARTS_V2.reduce)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nothing here", "no Genotype"),
        ("Genotype(normal=[", "ends before the call does"),
        ("Genotype(normal=[)", "not a single well-formed call"),
        ("Genotype([1], [2])", "named parts only"),
        ("Genotype(normal=__import__('os').system('true'), reduce=[])", "not a plain list"),
        ("Genotype(normal=[], reduce=[], hidden=[])", "unknown genotype key 'hidden'"),
        ("Genotype(normal=range(10**12), reduce=[])", "must have 8|not a plain list"),
    ],
)
def test_text_is_parsed_and_never_evaluated(text, complaint):
    with pytest.raises(UserError, match=complaint):
        Genotype.from_text(text)


def test_text_with_a_range_as_pc_darts_prints_it():
    text = str(DARTS_V2).replace("[2, 3, 4, 5]", "range(2, 6)")
    assert Genotype.from_text(text) == DARTS_V2
    with pytest.raises(UserError, match="normal_concat must be"):
        Genotype.from_text(text.replace("range(2, 6)", "range(3, 6)", 1))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"normal/op_2_0": None}, "unknown operation None"),
        ({"normal/input_2_0": [0, 1]}, "must name one state"),
        ({"normal/op_9_0": "skip_connect"}, "unknown label"),
    ],
)
def test_bad_samples_are_refused(change, complaint):
    with pytest.raises(UserError, match=complaint):
        Genotype.from_sample(DARTS_V2.to_sample() | change)
    with pytest.raises(UserError, match="lacks 'normal/op_2_0'"):
        Genotype.from_sample({})


TEXT = str(DARTS_V2)
OTHER = TEXT.replace("sep_conv_3x3", "dil_conv_3x3", 1)


@pytest.mark.parametrize(
    "text",
    [
        f"10:00 genotype = {TEXT}",
        f"genotype = {TEXT}\nargs = Namespace(lr=0.1)\ntensor([[0.1]], device='cuda:0')",
        f"Genotype = namedtuple('Genotype', 'normal reduce')\nDARTS = {TEXT}\nBEST = DARTS",
        f"epoch 1 {TEXT}\nepoch 2 {TEXT}",
        TEXT.replace("[2, 3, 4, 5]", "range(2, 6)"),
        TEXT.replace("[2, 3, 4, 5]", "array([2, 3, 4, 5], dtype=int64)"),
        TEXT.replace("[2, 3, 4, 5]", "tensor([2, 3, 4, 5])"),
        TEXT.replace("'sep_conv_3x3', 0", "np.str_('sep_conv_3x3'), np.int64(0)"),
        TEXT.replace(", ", ",\n    "),
    ],
)
def test_text_is_read_as_people_have_it(text):
    assert Genotype.from_text(text) == DARTS_V2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"a\n{TEXT}\nb\n{OTHER}", "holds 2 different genotypes, in lines 2, 4"),
        (f"{TEXT}\n{TEXT[:-20]}", "line 2: the text after 'Genotype.' ends before the call does"),
        (f"{TEXT}\nGenotype(normal=gene, reduce=gene)", "line 2: normal is not a plain list"),
        (f"Genotype(normal=[('sep_conv_3x3', 0x{'f' * 5000})] * 8, reduce=[])", "not a plain list"),
        (f"Genotype(normal=[('a', 0x{'f' * 5000})], reduce=[])", "must have 8"),
        (f"Genotype(normal=0x{'f' * 5000}, reduce=[])", "thousands of digits"),
        ("Genotype(normal=range(0, 9, 0), reduce=[])", "not a plain list"),
        ("Genotype(" * 50_000, "line 1"),
    ],
)
def test_text_that_can_be_read_two_ways_is_refused(text, complaint):
    with pytest.raises(UserError, match=complaint):
        Genotype.from_text(text)
