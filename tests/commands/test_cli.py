"""The command surface: what is refused, with which words, exit code and trace on disk."""

import json
import subprocess
import sys

import pytest

from nastransfer_nni import __version__
from nastransfer_nni.base import cli
from nastransfer_nni.commands import COMMANDS
from search_spaces.zoo import zoo


def run(capsys, *argv):
    """Exit code, standard output and the lines of standard error of a command in this process."""
    with pytest.raises(SystemExit) as exit:
        cli.main("nastransfer", COMMANDS, argv)
    captured = capsys.readouterr()
    return exit.value.code, captured.out, captured.err.splitlines()


def flattened(commands, path=()):
    for name, entry in commands.items():
        yield from (
            [((*path, name), entry)] if isinstance(entry, cli.Command) else flattened(entry, (*path, name))
        )


ALL = dict(flattened(COMMANDS))


@pytest.mark.parametrize("path", ALL, ids="-".join)
def test_help_names_every_flag_and_its_default(capsys, path):
    code, out, _ = run(capsys, *path, "--help")
    assert code == 0
    for name, field in ALL[path].config.model_fields.items():
        assert f"--{name.replace('_', '-')}" in out
        assert field.description, f"{path} --{name} says nothing"


@pytest.mark.parametrize("path", ALL, ids="-".join)
def test_a_mistyped_flag_is_refused_in_one_line(capsys, path):
    code, out, err = run(capsys, *path, "--sede", "3")
    assert (code, out, len(err)) == (2, "", 1)
    assert err[0].startswith("error: unknown flag")
    assert "--sede" in err[0]


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["serch"], "did you mean 'search'?"),
        (["architecture", "show"], "known: list, describe, draw, convert, epoch"),
        (["search", "--source", "cifar11"], "did you mean 'cifar10'"),
        (["search", "--source", "./nowhere"], "no folder"),
        (["search", "--strategy", "dart"], "did you mean 'darts'?"),
        (["search", "--strategy", "darts:speed=9"], "unknown darts option 'speed'; known: alpha_lr"),
        (["search", "--strategy", "darts:alpha_lr=fast"], "alpha_lr"),
        (["search", "--proxy", "clases:3"], "did you mean 'classes'?"),
        (["search", "--strategy", "darts:order=x"], "darts:order: Input should be"),
        (["search", "--epochs", "0"], "--epochs: Input should be greater than or equal to 1 (got 0)"),
        (["search", "--epochs", "many"], "--epochs"),
        (["search", "--weights-share", "0.9"], "add up to more than 1"),
        (["search", "--device", "tpu"], "must be auto, cpu"),
        (["search", "stray"], "stray"),
        (["transfer"], "--arch is needed"),
        (["transfer", "--arch", "DARTS_V3"], "did you mean 'DARTS_V2'?"),
        (["transfer", "--arch", "DARTS_V2", "--target", "nowhere"], "nowhere"),
        (["transfer", "--arch", "DARTS_V2", "--protocol", "mine"], "mine"),
        (["architecture", "describe", "DARTS_V2", "--width", "-3"], "--width"),
        (["architecture", "describe", "DARTS_V2", "--width", "15", "--img-size", "224"], "even width"),
        (["architecture", "describe", "a" * 300], "unknown architecture"),
        (["search", "--source", "a" * 300], "File name too long"),
        (["search", "--source", "./" + "a" * 300], "File name too long"),
        (["search", "--source", "~nobody-of-that-name/x"], "no such home folder"),
        (["search", "--proxy", "a" * 300], "unknown kind of proxy"),
        (["search", "--config", "a" * 300], "File name too long"),
        (["search", "--seed", "9" * 30], "--seed is too large"),
        (["search", "--lr", "1e300"], "--lr is too large"),
        (["search", "--budget", "9" * 400], "--budget: images is too large"),
        (["search", "--max-mult-adds", "9" * 400 + "M"], "--max-mult-adds is too large"),
        (["search", "--strategy", "darts:alpha_lr=1e300"], "alpha_lr is too large"),
        (["search", "--strategy", "random:candidates=" + "9" * 400], "candidates is too large"),
        (["search", "--proxy", "classes:" + "9" * 5000], "num_classes"),
        (["transfer", "--arch", "DARTS_V2", "--target", "a" * 300], "File name too long"),
        (["transfer", "--arch", "DARTS_V2", "--lr", "inf"], "--lr is too large"),
        (["study", "plan", "a" * 300], "File name too long"),
        (["report", "a" * 300], "File name too long"),
    ],
)
def test_mistakes_are_one_line_that_says_what_is_allowed(capsys, tmp_path, monkeypatch, argv, complaint):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *argv)
    assert (code, out, len(err)) == (2, "", 1), err
    assert complaint in err[0] and err[0].count("(got ") <= 1
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--strategy", "random:candidates=4"], "leave torchrun out; --concurrency N trains N at a time"),
        (["--batch-size", "33"], "--batch-size 33 cannot be shared evenly by 2 processes"),
    ],
)
def test_what_several_processes_cannot_search(capsys, tmp_path, monkeypatch, flags, complaint):
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, errors = run(capsys, "search", "--out", str(tmp_path / "run"), *flags)
    assert code == 2 and len(errors) == 1 and complaint in errors[0]
    assert not (tmp_path / "run").exists()


def test_option_errors_come_before_heavy_imports(tmp_path):
    """torch, NNI and timm alone take seconds to import; a bad option must not wait for them."""
    watch = (
        "import sys; from nastransfer_nni.base import cli; from nastransfer_nni.commands import COMMANDS\n"
        "try: cli.main('nastransfer', COMMANDS, sys.argv[1:])\n"
        "finally: print([m for m in ('torch', 'nni', 'timm', 'datasets', 'pandas') if m in sys.modules])"
    )
    for argv in (["search", "--source", "x"], ["search", "--help"], ["transfer", "--arch", "x"], ["--help"]):
        ran = subprocess.run(
            [sys.executable, "-c", watch, *argv], capture_output=True, text=True, cwd=tmp_path
        )
        assert ran.stdout.splitlines()[-1] == "[]", argv


def test_trial_parameters_override_flags(monkeypatch):
    import nni

    command = ALL[("search",)]
    monkeypatch.setenv("NNI_TRIAL_JOB_ID", "job")
    monkeypatch.setattr(nni, "get_next_parameter", lambda: {"seed": 7})
    assert cli._overrides(command) == {"seed": 7}
    monkeypatch.setattr(nni, "get_next_parameter", lambda: {"sead": 7})
    with pytest.raises(ValueError, match=r"searchSpace 'sead'.*did you mean 'seed'"):
        cli._overrides(command)


BROKEN = {
    "not_json": ("{broken", "neither JSON"),
    "array": ("[1, 2]", "must hold a JSON object"),
    "version": ({"version": 9}, "version is 9; this release reads 2 or 1"),
    "format": ({"format": "other"}, "format is 'other'"),
    "space": ({"space": "nasnet"}, "space is 'nasnet'"),
    "operation": (("normal", 0, ["conv_1x1", 0]), "normal cell, node 2: unknown operation 'conv_1x1'"),
    "later_state": (("reduce", 3, ["skip_connect", 3]), "reduce cell, node 3: reads state 3"),
    "count": (("normal", 8, ["skip_connect", 0]), "the normal cell must have 8"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_architecture_files_say_where_and_why(capsys, tmp_path, name):
    change, complaint = BROKEN[name]
    value = {"format": "nastransfer-architecture", "version": 1, "space": "darts"}
    value["genotype"] = zoo()["DARTS_V2"].genotype.to_dict()
    if isinstance(change, dict):
        value |= change
    elif isinstance(change, tuple):
        value["genotype"][change[0]][change[1] : change[1] + 1] = [change[2]]
    path = tmp_path / "arch.json"
    path.write_text(change if isinstance(change, str) else json.dumps(value))
    code, _, err = run(capsys, "architecture", "describe", str(path))
    assert (code, len(err)) == (2, 1)
    assert str(path) in err[0]
    assert complaint in err[0]


def test_binary_files_and_folders_are_not_read(capsys, tmp_path):
    binary = tmp_path / "weights.pt"
    binary.write_bytes(b"\x80\x02\xff\xfe")
    for path, complaint in ((binary, "not a text file"), (tmp_path, "is a folder")):
        code, _, err = run(capsys, "architecture", "describe", str(path))
        assert (code, len(err)) == (2, 1)
        assert complaint in err[0]


def test_describe_reads_every_form_alike(capsys, tmp_path):
    genotype = zoo()["PDARTS"].genotype
    forms = {
        "text": str(genotype),
        "bare": json.dumps(genotype.to_dict()),
        "sample": json.dumps(genotype.to_sample()),
    }
    _, reference, _ = run(capsys, "architecture", "describe", "PDARTS")
    for name, text in forms.items():
        path = tmp_path / f"{name}.json"
        path.write_text(text)
        code, out, _ = run(capsys, "architecture", "describe", str(path))
        assert code == 0
        described = json.loads(out)
        assert described["parameters"] == json.loads(reference)["parameters"] == 3433798
        assert described["mult_adds"] == 532174464


def test_convert_and_back(capsys, tmp_path):
    for form in ("architecture", "genotype", "sample", "text"):
        path = tmp_path / f"{form}.txt"
        assert run(capsys, "architecture", "convert", "GDAS_V1", "--form", form, "--out", str(path))[0] == 0
        code, out, _ = run(capsys, "architecture", "convert", str(path), "--form", "text")
        assert code == 0
        assert out.strip() == str(zoo()["GDAS_V1"].genotype)


def test_drawn_cells_are_svg_and_repeat(capsys, tmp_path):
    for folder in ("a", "b"):
        assert run(capsys, "architecture", "draw", "SNAS", "--out", str(tmp_path / folder))[0] == 0
    for kind in ("normal", "reduce"):
        one, other = ((tmp_path / folder / f"cell_{kind}.svg").read_text() for folder in ("a", "b"))
        assert one == other
        for operation, _ in getattr(zoo()["SNAS"].genotype, kind):
            assert operation in one
        assert "<svg" in one


@pytest.mark.parametrize("path", ALL, ids="-".join)
@pytest.mark.parametrize("columns", [40, 80])
def test_help_fits_the_terminal(capsys, monkeypatch, path, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = run(capsys, *path, "--help")
    options = out.partition("options:")[2].partition("examples:")[0].splitlines()
    assert options
    assert all(len(line) <= columns for line in options)


def test_help_names_what_there_is_to_choose_from(capsys):
    _, out, _ = run(capsys, "search", "--help")
    words = set(out.replace(",", " ").split())
    assert {"random_ws", "evolution", "imagenet22k", "k-center"} <= words


@pytest.mark.parametrize("arguments", [["--version"], ["search", "--version"], ["study", "run", "-V"]])
def test_every_command_has_a_version(capsys, arguments):
    code, out, _ = run(capsys, *arguments)
    assert (code, out) == (0, f"nastransfer_nni {__version__}\n")


@pytest.mark.parametrize("text", ["2024_10_01", "1.10", "exp#2", "1e3", "0x10", "[a]", "'a'", "a,b"])
def test_a_text_is_read_as_it_is_typed(text):
    """To Fire, most of them are Python."""
    read = cli._flags("nastransfer report", COMMANDS["report"], [text, f"--out={text}", "--seed", "1_0"])
    assert read == {"input": text, "out": text, "seed": 10}
    arguments = ["--source", text, "--out", text]
    assert cli._flags("nastransfer search", COMMANDS["search"], arguments) == {"source": text, "out": text}


def test_none_is_no_text():
    assert cli._flags("nastransfer search", COMMANDS["search"], ["--out", "None"]) == {"out": None}


def test_a_text_must_be_there(capsys):
    code, _, err = run(capsys, "search", "--out", "--epochs", "1")
    assert code == 2
    assert len(err) == 1 and err[0].startswith("error: --out")
