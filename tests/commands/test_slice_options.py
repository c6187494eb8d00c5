"""What a command line says of slices: refused where it says nothing, or the same twice."""

import pytest

from stofm_pyg.cli import main


def run(*args):
    return main([str(arg) for arg in args])


@pytest.mark.parametrize(
    ("command", "out"),
    [(["embed"], "o"), (["domains"], "o"), (["finetune", "--label", "domain"], "o"), (["predict"], "o")],
)
def test_a_source_that_is_named_twice(files, tmp_path, capsys, command, out):
    if command[0] == "predict":
        assert run("domains", files.model, files.tissue, "--save-model", tmp_path / "d") == 0
        files = files._replace(model=tmp_path / "d")
    name, *options = command
    assert run(name, files.model, files.tissue, files.tissue, *options, "--out", tmp_path / out) == 2
    assert f"'{files.tissue}' is in 'files' twice. Name each file once." in capsys.readouterr().err
    assert not (tmp_path / out).exists()


@pytest.mark.parametrize(
    ("command", "option"),
    [("embed", "--parts"), ("domains", "--plot"), ("domains", "--save-model"), ("plot", "--run")],
)
def test_an_empty_path_of_an_option(files, tmp_path, capsys, monkeypatch, command, option):
    monkeypatch.chdir(tmp_path)
    model = [] if command == "plot" else [files.model]
    with pytest.raises(SystemExit):
        run(command, *model, files.tissue, option, "", "--out", "made")
    assert f"argument {option}: the path is empty" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_empty_path(files, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run("fit", files.tissue, "--out", "")
    assert "argument --out: the path is empty" in capsys.readouterr().err
    assert run("fit", "", "--out", "model") == 2
    assert "SLICES: a path is empty; name files or folders" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "value"), [("--radius", 3), ("--unit", "micron"), ("--max-clusters", 4)]
)
@pytest.mark.parametrize(
    ("command", "out"), [(["fit"], "o"), (["corpus", "build"], "o"), (["convert"], "o.pt")]
)
def test_how_slices_are_made_is_the_models(files, tmp_path, capsys, command, out, option, value):
    args = [*command, files.tissue, "--model", files.model, option, value, "--out", tmp_path / out]
    assert run(*args) == 2
    assert f"{option} is the model's where --model is given" in capsys.readouterr().err
    assert not (tmp_path / out).exists()


@pytest.mark.parametrize("option", ["--model", "--label"])
def test_what_means_nothing_for_an_h5ad(files, tmp_path, capsys, option):
    assert run("convert", files.tissue, option, "some", "--out", tmp_path / "o.h5ad") == 2
    assert f"{option} is for .pt; an h5ad holds what was read" in capsys.readouterr().err
    assert not (tmp_path / "o.h5ad").exists()
