"""One data set in five forms is one data set."""

import io
import json
import os
import subprocess
import sys
import tarfile

import datasets
import numpy as np
import pytest
from PIL import Image

from nastransfer_nni.data.loading import load
from nastransfer_nni.data.sources import check
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.choose import make
from tests.data.made_images import write_folder

FORMS = ("parquet", "folder", "saved", "shards", "streamed")
KINDS = (
    "all",
    "classes:2",
    "images:0.4",
    "classes:2+images:7",
    "balanced:3",
    "head:0.4",
    "resolution:8+images:9",
    "images:9+labels:random",
    "resolution:8+pixels:noise",
    "classes:2+task:rotation",
)


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """The same images and classes in another order and encoding in every form: {form: name of the set}."""
    root = tmp_path_factory.mktemp("forms")
    made = write_folder(root / "folder", per_class=7)
    rows = [(name, pixels) for name, images in made.items() for pixels in images]
    made_again = {form: np.random.default_rng(n).permutation(len(rows)) for n, form in enumerate(FORMS)}

    def encoded(pixels, level):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", compress_level=level)
        return file.getvalue()

    def table(form, level):
        features = datasets.Features(
            {"photo": datasets.Image(), "kind": datasets.ClassLabel(names=["a9", "b", "a10"])}
        )
        shuffled = [rows[place] for place in made_again[form]]
        columns = {
            "photo": [{"bytes": encoded(pixels, level), "path": None} for _, pixels in shuffled],
            "kind": [name for name, _ in shuffled],
        }
        return datasets.Dataset.from_dict(columns, features=features)

    for form in ("parquet", "streamed"):
        (root / form).mkdir()
        table(form, 1).to_parquet(root / form / "train.parquet")
    table("saved", 9).save_to_disk(root / "saved" / "train")
    (root / "shards").mkdir()
    for shard in range(2):
        with tarfile.open(root / "shards" / f"toy-train-{shard:04d}.tar", "w") as tar:
            for place in made_again["shards"][shard::2]:
                name, pixels = rows[place]
                for suffix, content in (("png", encoded(pixels, 3)), ("cls", name.encode())):
                    info = tarfile.TarInfo(f"{place:05d}.{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    names = {form: str(root / form) for form in FORMS}
    return names | {"streamed": names["streamed"] + "@stream=yes"}


def manifest_text(name, kind, seed=3):
    chosen, manifest = make(load(check(name), "train"), spec.parse(kind), seed)
    pixels = [np.asarray(chosen.image(row)) for row in range(len(chosen))]
    content = manifest.model_dump(mode="json")
    content["source"].pop("name")  # the folder
    return json.dumps(content), np.stack(pixels), chosen.labels.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_manifests_images_and_labels_agree(forms, kind):
    text, pixels, labels = manifest_text(forms["folder"], kind)
    for form in FORMS:
        again = manifest_text(forms[form], kind)
        assert again[0] == text, form
        assert np.array_equal(again[1], pixels), form
        assert again[2] == labels, form


def test_another_seed_chooses_otherwise(forms):
    assert (
        manifest_text(forms["folder"], "images:0.4", 3)[0]
        != manifest_text(forms["folder"], "images:0.4", 4)[0]
    )


def test_a_manifest_made_from_one_form_opens_another(forms, tmp_path):
    from nastransfer_nni.proxy import manifest as manifests
    from nastransfer_nni.proxy.choose import resolve

    chosen, manifest = make(load(check(forms["parquet"]), "train"), spec.parse("images:0.4"), 0)
    manifests.write(manifest, chosen, tmp_path / "p.json")
    for form in FORMS:
        opened, _ = resolve(spec.parse(str(tmp_path / "p.json")), check(forms[form]))
        assert opened.fingerprint == chosen.fingerprint
        assert np.array_equal(opened.labels, chosen.labels)


def test_two_processes_and_any_number_of_workers_choose_the_same(forms, tmp_path):
    texts = set()
    for threads, form in ((1, "folder"), (3, "parquet")):
        out = tmp_path / f"{threads}.json"
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            "NASTRANSFER_CACHE": str(tmp_path / f"cache{threads}"),
            "PYTHONHASHSEED": str(threads),
        }
        command = [sys.executable, "-m", "nastransfer_nni.proxy", "make", "--source", forms[form]]
        subprocess.run(
            [*command, "--kind", "classes:2+images:0.5", "--seed", "5", "--out", str(out)],
            env=environment,
            check=True,
            capture_output=True,
        )
        content = json.loads(out.read_text())
        content["source"].pop("name")
        texts.add(json.dumps(content))
    assert len(texts) == 1
