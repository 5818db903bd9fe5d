import pytest
import timm
import torch

from nastransfer_nni.architecture.file import Architecture
from nastransfer_nni.models import saved
from nastransfer_nni.models.weights import options_of
from search_spaces.zoo import zoo
from tests.search_spaces.nas_bench_201.cells import CELL


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("genotype", [CELL, zoo()["PDARTS"].genotype], ids=["nas_bench_201", "darts"])
def test_bare_weights_say_what_network_they_are_of(genotype, stem, tmp_path):
    architecture = Architecture(genotype, "found")
    size = {"width": 6, "layers": 5, "num_classes": 7, "stem": stem}
    model = architecture.space.build(genotype, **size).eval()
    assert options_of(model.state_dict(), tmp_path) == size
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    trained = saved.read(tmp_path / "weights.pth", architecture=architecture)
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(trained.build()(x), model(x))


def test_entry_points_are_those_that_models_name():
    for genotype in (CELL, zoo()["PDARTS"].genotype):
        space = Architecture(genotype, "found").space
        assert timm.is_model(space.build(genotype, width=4, layers=5).model_name)


def test_a_list_of_classes_may_come_from_a_windows_editor(tmp_path):
    (tmp_path / "classes.txt").write_bytes("cat\r\ndog\r\n".encode("utf-8-sig"))
    assert saved.class_names(tmp_path / "classes.txt") == ("cat", "dog")
