"""Whatever a file or an option holds, nothing but UserError comes out of what reads it.

`FUZZ_EXAMPLES=5000 pytest tests/test_fuzz.py` tries more examples, at random; by default they are the same
ones each time.
"""

import contextlib
import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import strategies
from nastransfer_nni.architecture import file as architecture_file
from nastransfer_nni.architecture.config import EpochConfig
from nastransfer_nni.architecture.run import epoch
from nastransfer_nni.base import torch_io
from nastransfer_nni.base.option_file import read_options
from nastransfer_nni.data import sources
from nastransfer_nni.nni_engine.service import read_service
from nastransfer_nni.proxy import spec
from nastransfer_nni.proxy.manifest import Manifest
from nastransfer_nni.report.collect import collect
from nastransfer_nni.report.statistics import reading
from nastransfer_nni.search.config import SearchConfig
from nastransfer_nni.study.design import Study
from nastransfer_nni.tracking import directory
from nastransfer_nni.tracking.journal import FileJournal
from nastransfer_nni.tracking.run import Run
from nastransfer_nni.transfer.config import TransferConfig
from search_spaces.errors import UserError
from search_spaces.zoo import zoo

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")

GENOTYPE = zoo()["DARTS_V2"].genotype
ARCHITECTURE = architecture_file.Architecture(
    GENOTYPE, "a", {"strategy": "darts", "seed": 1, "options": {}, "setting": {"epochs": 2}}
).to_dict()
MANIFEST = {
    "format": "nastransfer-proxy",
    "version": 2,
    "source": {"name": "digits", "split": "train", "fingerprint": "ab", "images": 2},
    "proxy": "images:2",
    "kind": "images",
    "options": [{"amount": 2}],
    "seed": 0,
    "classes": {"0": {"label": 0, "images": 1}, "1": {"label": 1, "images": 1}},
    "fingerprint": "cd",
    "images": {"0": ["0" * 16], "1": ["f" * 16]},
}
STUDY = {
    "name": "study",
    "strategies": ["darts", "random_ws:candidates=30"],
    "sources": ["digits", {"source": "digits@label=label", "proxies": ["classes:5"]}],
    "proxies": ["classes:5", "images:0.5"],
    "search_seeds": [0, 1],
    "proxy_seeds": [0],
    "random_cells": 2,
    "targets": ["digits"],
    "search": {"epochs": 2, "width": 4},
    "transfer": {"epochs": 3},
}
CONFIG = {
    "format": "nastransfer-run",
    "version": 2,
    "command": "transfer",
    "options": {"arch": "DARTS_V2", "target": "digits"},
    "compared": ["arch", "target"],
    "command_line": "python -m nastransfer_nni.transfer",
    "at": "2026-01-01T00:00:00Z",
    "host": "here",
    "git_commit": None,
    "versions": {"torch": "2.9"},
}
V01_CONFIG = {name: value for name, value in CONFIG.items() if name not in ("format", "version")}
STATUS = {"status": "completed", "why": "", "pid": 1, "host": "here", "at": "2026-01-01T00:00:00Z"}
SUMMARY = {
    "top1": 90.0,
    "top5": 99.0,
    "params": 1000,
    "mult_adds": 1000,
    "parameter_free_share": 0.1,
    "train_seconds": 1.0,
    "target": "digits",
    "protocol": "darts_cifar",
    "protocol_hash": "ab",
    "train_seed": 0,
}
LINE = {"step": 1, "epoch": 0, "split": "train", "loss": 1.0, "genotype": GENOTYPE.to_dict(), "top1": 5.0}
SERVICE = {"trainingService": {"platform": "local", "useActiveGpu": False}, "nniManagerIp": "127.0.0.1"}
OPTIONS = {
    "source": "digits",
    "proxy": "images:0.5",
    "strategy": "darts",
    "epochs": 2,
    "lr": 0.1,
    "scale": [0.1, 1],
}

TABLE = "target,strategy,top1,params\nc10,darts,97.25,3.5\nc10,random,96.0,2.5\nc10,random,95.5,2.0\n"

NASTY = [
    "",
    "null",
    "[" * 3000,
    '{"a":' * 3000 + "1" + "}" * 3000,
    "1" * 5000,
    "0x" + "f" * 5000,
    "&a [*a]",
    "a: &a {b: *a}",
    "a: &a [b,b,b,b,b,b,b,b,b,b]\n"
    + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "a: 2024-02-31",
    "!!bool x",
    "!!timestamp x",
    "!!python/object/apply:os.system [true]",
    "a: !!binary aGVsbG8=",
    '"\\ud800"',
    "NaN",
    "Genotype(",
    "Genotype(" * 500,
    f"Genotype(normal=0x{'f' * 5000}, reduce=[])",
    "Genotype(normal=range(10**12), reduce=range(0, 5, 0))",
    f"Genotype(normal={'[' * 500}{']' * 500}, reduce=[])",
    "a" * 300,
    "../" * 2000 + "x.json",
    "~nobody-of-that-name/x",
    "a\0b",
    "con@label=\0",
]

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -1, 2**63, 10**400, float("nan"), float("inf"), 1e300, -0.0]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(NASTY[11:]),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    ),
)


def _paths(value, path=()):
    yield path
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from _paths(inner, (*path, key))


@st.composite
def changed(draw, valid):
    """A structure with one or two values replaced, removed or added."""
    value = json.loads(json.dumps(valid))
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(list(_paths(value))))
        if not path:
            if draw(st.integers(0, 9)) == 0:
                return draw(ODD)
            continue
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                holder[path[-1]] = draw(ODD)
            case "remove":
                del holder[path[-1]]
            case "add" if isinstance(holder, dict):
                holder[draw(st.text(max_size=5))] = draw(ODD)
            case _:
                holder.append(draw(ODD))
    return value


@st.composite
def damaged(draw, text):
    """A text that is cut, or has a piece removed, doubled or replaced, as bytes in some encoding."""
    content = text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "utf-8-sig"])))
    start, end = sorted((draw(st.integers(0, len(content))), draw(st.integers(0, len(content)))))
    piece = draw(st.sampled_from([b"", content[start:end] * 2, b"\0", b"\xff"]) | st.binary(max_size=8))
    return content[:start] + piece + (b"" if draw(st.booleans()) else content[end:])


def files(*valid, dump=json.dumps):
    """Bytes for a reader of files: valid ones damaged or changed, nasty texts, and anything."""
    texts = [value if isinstance(value, str) else dump(value) for value in valid]
    objects = [value for value in valid if not isinstance(value, str)]
    return st.one_of(
        *(damaged(text) for text in texts),
        *(changed(value).map(lambda value: dump(value).encode(errors="surrogatepass")) for value in objects),
        st.sampled_from(NASTY).map(str.encode),
        st.text(max_size=30).map(lambda text: text.encode(errors="replace")),
        st.binary(max_size=30),
    )


def texts(*valid):
    """Texts for a reader of an option: valid ones with pieces replaced, nasty ones, and anything."""
    alphabet = st.sampled_from([*":,=+@./~% \n0123456789", "1e300", "nan", "9" * 400, "é", "a"])
    pieces = st.lists(alphabet, max_size=4).map("".join)

    def replaced(text):
        return st.builds(
            lambda start, end, piece: text[: min(start, end)] + piece + text[max(start, end) :],
            st.integers(0, len(text)), st.integers(0, len(text)), pieces,
        )  # fmt: skip

    return st.one_of(*map(replaced, valid), st.sampled_from(NASTY), st.text(max_size=20), pieces)


def from_file(read, name="file"):
    """A function of a folder and bytes, from one of a path."""

    def read_content(folder, content):
        (folder / name).write_bytes(content)
        return read(folder / name)

    return read_content


def run_folder(folder, content):
    """A finished transfer of which one file holds `content`; it is opened, and reported."""
    name, data = content
    run = folder / "runs" / "a"
    run.mkdir(parents=True, exist_ok=True)
    written = {"config.yaml": CONFIG, "status.json": STATUS, "summary.json": SUMMARY}
    written |= {"architecture.json": ARCHITECTURE, "metrics.jsonl": LINE}
    for other, value in written.items():
        (run / other).write_bytes(data if other == name else (json.dumps(value) + "\n").encode())
    directory.read_config(run), directory.read_status(run), directory.read_summary(run)
    with contextlib.suppress(UserError):
        collect(folder / "runs")
    opened_run = Run.open(
        "transfer", names=[], options=CONFIG["options"], out=run, upgrade=SearchConfig.upgrade
    )
    with opened_run as opened:
        opened.complete({})


def options(config):
    def make(folder, value):
        return config.create(value if isinstance(value, dict) else {"epochs": value})

    return make


RUN_FILES = st.one_of(
    st.tuples(
        st.just("config.yaml"),
        files(CONFIG, {**CONFIG, "version": 1, "format": None}, V01_CONFIG, dump=yaml.safe_dump),
    ),
    st.tuples(st.just("status.json"), files(STATUS)),
    st.tuples(st.just("summary.json"), files(SUMMARY)),
    st.tuples(st.just("architecture.json"), files(ARCHITECTURE)),
    st.tuples(st.just("metrics.jsonl"), files(LINE)),
)
JOURNAL = json.dumps(LINE) + "\n" + json.dumps(LINE) + "\n"

READERS = {
    "architecture file": (
        from_file(lambda path: architecture_file.read(str(path))),
        files(
            ARCHITECTURE,
            ARCHITECTURE | {"version": 1},
            GENOTYPE.to_dict(),
            GENOTYPE.to_sample(),
            [GENOTYPE.to_sample()],
            f"10:00 genotype = {GENOTYPE}\n10:01 done)",
            str(GENOTYPE).replace("0)", "np.int64(0))"),
        ),
    ),
    "architecture text": (
        lambda _, text: architecture_file.read(text),
        texts("DARTS_V2", str(GENOTYPE), "a.json"),
    ),
    "cell of an epoch": (
        from_file(lambda path: epoch(EpochConfig(run=str(path.parent), epoch=1)), "architectures.jsonl"),
        files(LINE, JOURNAL),
    ),
    "manifest": (
        from_file(Manifest.read),
        files(MANIFEST, MANIFEST | {"version": 1, "images": {"file": "a"}}),
    ),
    "images of a manifest": (
        from_file(
            lambda path: Manifest.create(MANIFEST | {"images": {"file": path.name}}).listed(path.parent)
        ),
        files("PAR1"),
    ),
    "strategy": (
        lambda _, text: strategies.parse(text),
        texts("darts:order=2,alpha_lr=6e-4", "random:candidates=3", "evolution", "os.path:join", "enas"),
    ),
    "proxy": (
        lambda _, text: spec.parse(text),
        texts(
            "classes:5+images:0.5",
            "images:like=a.json",
            "resolution:16",
            "easy:amount=0.5,scores=a",
            "head:3",
        ),
    ),
    "source": (
        lambda _, text: sources.check(text),
        texts("digits", "owner/name@image=a,label=b", "./folder", "~/x"),
    ),
    "study": (from_file(Study.read), files(STUDY, dump=yaml.safe_dump)),
    "run folder": (run_folder, RUN_FILES),
    "journal": (from_file(FileJournal), files(LINE, JOURNAL)),
    "service": (from_file(lambda path: read_service(str(path))), files(SERVICE, dump=yaml.safe_dump)),
    "config file": (
        from_file(lambda path: SearchConfig.create(read_options(path, SearchConfig))),
        files(
            OPTIONS,
            {**CONFIG, "options": OPTIONS},
            {"command": "search", "options": OPTIONS},
            dump=yaml.safe_dump,
        ),
    ),
    "options of a search": (options(SearchConfig), changed(OPTIONS)),
    "options of a transfer": (options(TransferConfig), changed({"arch": "DARTS_V2", "epochs": 2, "lr": 0.1})),
    "checkpoint": (from_file(torch_io.load), files("PK\3\4")),
    "table": (from_file(reading.read), files(TABLE, TABLE.replace(",", ";"), TABLE.replace(",", "\t"))),
}


def test_what_the_examples_start_from_is_valid(tmp_path):
    Study.create(STUDY), Manifest.create(MANIFEST), SearchConfig.create(OPTIONS)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    assert directory.read_config(tmp_path) == CONFIG
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(V01_CONFIG))
    assert directory.read_config(tmp_path) == V01_CONFIG


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_only_user_errors_escape(name, tmp_path, monkeypatch, capsys):
    read, contents = READERS[name]
    monkeypatch.chdir(tmp_path)

    @settings(
        max_examples=int(EXAMPLES or 500),
        deadline=None,
        derandomize=EXAMPLES is None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(content=contents)
    def try_one(content):
        with contextlib.suppress(UserError):
            read(Path(), content)

    try_one()
