import pickle

import datasets
import pyarrow
import pytest

from nastransfer_nni.data.stores.arrow import ArrowStore

STRUCT = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
CHUNKS = {
    "structs": (STRUCT, [[{"bytes": b"a", "path": "x.png"}, None], [], [{"bytes": None, "path": "b.png"}]]),
    "bytes": (pyarrow.binary(), [[b"a", None], [], [b"b"]]),
    "paths": (pyarrow.string(), [["a.png", None], [], ["b.png"]]),
}


def store(kind, root):
    (root / "a.png").write_bytes(b"a")
    (root / "b.png").write_bytes(b"b")
    type_, chunks = CHUNKS[kind]
    column = pyarrow.chunked_array([pyarrow.array(chunk, type_) for chunk in chunks])
    table = datasets.table.InMemoryTable(pyarrow.table({"image": column}))
    return ArrowStore(datasets.Dataset(table), "image", root)


@pytest.mark.parametrize(
    ("kind", "names"),
    [("structs", ["x.png", "", "b.png"]), ("bytes", [""] * 3), ("paths", ["a.png", "", "b.png"])],
)
def test_images_are_read_from_every_chunk(tmp_path, kind, names):
    images = store(kind, tmp_path)
    for one in (images, pickle.loads(pickle.dumps(images))):
        assert [one.encoded(number) for number in range(3)] == [b"a", b"", b"b"]
        assert [one.file_name(number) for number in range(3)] == names
    assert "_chunks" not in images.__getstate__()
