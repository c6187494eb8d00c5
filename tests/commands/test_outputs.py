import errno
import os
import tempfile

import pytest

from stofm_pyg.commands.outputs import check_run, output_file, output_files, output_folder, write_h5ad
from tests.models.fit_case import make_tissue


def test_a_file(tmp_path):
    out = tmp_path / "new" / "deep" / "a.h5ad"
    assert output_file(out) == out and not out.parent.exists()
    assert output_file(tmp_path / "a.PNG", (), False, (".png",)) == tmp_path / "a.PNG"
    with pytest.raises(ValueError, match=r"--plot .*a\.jpg must end in \.png or \.svg; call it"):
        output_file(tmp_path / "a.jpg", (), False, (".png", ".svg"), "--plot")
    with pytest.raises(ValueError, match="is a folder; name a file"):
        output_file(tmp_path)


def test_what_is_there_stays(tmp_path):
    there, link = tmp_path / "a.h5ad", tmp_path / "link.h5ad"
    there.write_text("a")
    link.symlink_to(there)
    with pytest.raises(ValueError, match="is there already; name another one, or pass --overwrite"):
        output_file(there, [tmp_path / "b.h5ad"])
    with pytest.raises(ValueError, match="is the file that is read"):
        output_file(link, [there])
    assert output_file(there, [there], overwrite=True) == there


def test_as_many_files_as_sources(tmp_path):
    one, two = tmp_path / "a" / "x.h5ad", tmp_path / "b" / "x.h5ad"
    assert output_files(tmp_path / "o.h5ad", [one]) == [tmp_path / "o.h5ad"]
    assert output_files(tmp_path / "o", [one, two]) == [tmp_path / "o" / f"{n}_x.h5ad" for n in "ab"]
    with pytest.raises(ValueError, match="is a file, but there are 2 to write; name a folder"):
        output_files(tmp_path / "o.h5ad", [one, two])
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "b_x.h5ad").write_text("b")
    with pytest.raises(ValueError, match="is there already"):
        output_files(tmp_path / "o", [one, two])


def test_a_folder(tmp_path):
    assert output_folder(tmp_path / "new") == tmp_path / "new" and not (tmp_path / "new").exists()
    (tmp_path / "a").write_text("a")
    with pytest.raises(ValueError, match="a is a file; name a folder"):
        output_folder(tmp_path / "a")
    with pytest.raises(ValueError, match="--model .* holds something already"):
        output_folder(tmp_path, False, "--model")
    assert output_folder(tmp_path, True) == tmp_path
    with pytest.raises(
        OSError, match="nothing can be written to '.*a' .Not a directory.; name another place"
    ):
        output_folder(tmp_path / "a" / "b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="nothing can be written"):
        output_file(tmp_path / "new" / "a.h5ad")
    tmp_path.chmod(0o700)


def test_a_disk_that_may_not_be_written(tmp_path, monkeypatch):
    def refuse(dir):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match="--out: nothing can be written to .*Read-only file system"):
        output_file(tmp_path / "new" / "a.h5ad")


def test_runs(tmp_path):
    check_run(tmp_path, "never")
    (tmp_path / "checkpoints" / "stage_1").mkdir(parents=True)
    (tmp_path / "checkpoints" / "stage_1" / "step-00000002.pt").write_text("")
    check_run(tmp_path, "auto")
    with pytest.raises(
        ValueError, match="holds the checkpoints of a run already; go on with '--resume auto'"
    ):
        check_run(tmp_path, "never")
    (tmp_path / "model.safetensors").write_text("")
    with pytest.raises(ValueError, match="holds a model that no run made there"):
        check_run(tmp_path, "auto")
    (tmp_path / "run.json").write_text("{}")
    check_run(tmp_path, "auto")


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    adata = make_tissue(1, 30)
    write_h5ad(adata, tmp_path / "new" / "a.h5ad")
    before = (tmp_path / "new" / "a.h5ad").read_bytes()

    def fail(self, path, **kwargs):
        path.write_text("half")
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(type(adata), "write_h5ad", fail)
    with pytest.raises(OSError, match="No space left"):
        write_h5ad(adata, tmp_path / "new" / "a.h5ad")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.h5ad"]
    assert (tmp_path / "new" / "a.h5ad").read_bytes() == before
