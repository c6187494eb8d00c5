"""A source that is embedded in parts: as in one piece, after any break, by any number of processes."""

import json
import logging
import os
import shutil
import signal
import time

import numpy as np
import pytest
import torch

from stofm_pyg.models import ReadOut, SToFM, embed_in_parts
from stofm_pyg.models import _embed_in_parts as module
from stofm_pyg.models._part_file import PartFile, part_tensors
from stofm_pyg.models._subpatches import subpatches, ties_of
from tests.models.fit_case import fitted, make_tissue

READ_OUTS = {
    "cell": ReadOut(layers="all"),
    "context": ReadOut(readout="context", part_shares=(0.5, 1.0)),
    "all of it": ReadOut("all", "cell", (0.7, 1.0), num_neighbors=4, own_features=True),
}
SIZE = {"cells_per_part": 15, "parts_per_group": 2}


@pytest.fixture(scope="module")
def tissue():
    return make_tissue()


@pytest.fixture(scope="module")
def file(tissue, tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "tissue.h5ad"
    tissue.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def z(tissue):
    return fitted().embed_anndata(tissue, cells_per_part=15).numpy()


@pytest.fixture(scope="module")
def begun(file, tmp_path_factory):
    """A folder in which all is done."""
    folder = tmp_path_factory.mktemp("begun") / "parts"
    embed_in_parts(fitted(), file, folder, **SIZE)
    return folder


@pytest.fixture
def folder(begun, tmp_path):
    """A copy of it, without the result."""
    shutil.copytree(begun, tmp_path / "parts")
    (tmp_path / "parts" / "embedding.npy").unlink()
    return tmp_path / "parts"


def made(monkeypatch):
    """Counts the groups that are embedded, and the sources that are read."""
    counts = {"groups": 0, "slices": 0}
    embed, read = module._embed_parts, module.read_slice

    def embed_parts(*args):
        counts["groups"] += 1
        return embed(*args)

    def read_slice(*args):
        counts["slices"] += 1
        return read(*args)

    monkeypatch.setattr(module, "_embed_parts", embed_parts)
    monkeypatch.setattr(module, "read_slice", read_slice)
    return counts


def groups(folder):
    return sorted((folder / "groups").iterdir())


@pytest.mark.parametrize(("name", "batch_size"), [("cell", 1), ("context", 3), ("all of it", 1)])
def test_as_in_one_piece(tissue, file, tmp_path, name, batch_size):
    options = {"cells_per_part": 25, "seed": 3, "batch_size": batch_size}
    want = fitted().embed_anndata(tissue, read_out=READ_OUTS[name], **options).numpy()
    found = embed_in_parts(
        fitted(), file, tmp_path, read_out=READ_OUTS[name], parts_per_group=2, **options
    )
    assert isinstance(found, np.memmap) and found.shape == want.shape and found.dtype == np.float32
    assert np.abs(found - want).max() <= 1e-5
    assert np.array_equal(np.load(tmp_path / "embedding.npy"), found)


def test_an_anndata_whose_slices_lie_mixed(tissue, tmp_path):
    mixed = tissue[np.random.default_rng(0).permutation(200)].copy()
    before = mixed.copy()
    want = fitted().embed_anndata(mixed, layers="last").numpy()
    found = embed_in_parts(fitted(), mixed, tmp_path, layers="last")
    assert np.abs(found - want).max() <= 1e-5
    assert (mixed.X != before.X).nnz == 0 and set(mixed.obsm) == set(before.obsm)


def test_features_of_tokens_and_where_things_are(tissue, tmp_path):
    adata = tissue.copy()
    adata.obs["section"] = adata.obs.pop("slice")
    adata.layers["raw"] = adata.X.copy()
    adata.X.data = np.log1p(adata.X.data)
    where = {"slice_key": "section", "layer": "raw"}
    want = fitted("tokens").embed_anndata(tissue).numpy()
    found = embed_in_parts(fitted("tokens"), adata, tmp_path, **where)
    assert np.abs(found - want).max() <= 1e-5


def test_the_official_graph(tissue, tmp_path):
    torch.manual_seed(0)
    model = SToFM(5, 8, 1, heads=2, num_gaussians=4, graph="official").eval()
    model.features = fitted().features
    want = model.embed_anndata(tissue, cells_per_part=40).numpy()
    found = embed_in_parts(model, tissue, tmp_path, cells_per_part=40, parts_per_group=1)
    assert len(groups(tmp_path)) > 2 and np.abs(found - want).max() <= 1e-5


@pytest.mark.parametrize("graph", ["radius", "official"])
def test_what_is_read_is_what_was_cut(tissue, tmp_path, graph):
    data = fitted().slices(tissue)[0]
    data.unit = graph
    parts = subpatches(data, graph, 15, None, 0)
    file = PartFile(tmp_path / "a.safetensors", "key")
    assert not file.is_whole()
    file.write(part_tensors(parts, data.cell_id[:100]))
    assert file.is_whole() and not PartFile(file.path, "other").is_whole()
    rows = file.tensor("row")
    assert torch.equal(file.tensor("cell_id"), data.cell_id[rows])
    ends = [0, 1, 3, len(parts)]
    for start, end in zip(ends[:-1], ends[1:], strict=True):
        first = int(file.tensor("part_ptr")[start])
        for number, part in enumerate(file.read(start, end, ties_of(graph)), start=start):
            want = parts[number]
            for key in ("x", "pos", "node_type", "edge_index", "edge_attr"):
                assert torch.equal(part[key], want[key]), key
            cells = part.row[part.row >= 0]
            assert torch.equal(rows[first + cells], want.row[want.row >= 0])


def test_what_is_there_is_not_made_again(file, folder, z, monkeypatch):
    counts = made(monkeypatch)
    assert np.array_equal(embed_in_parts(fitted(), file, folder, **SIZE), z)
    assert counts == {"groups": 0, "slices": 0}
    (folder / "embedding.json").unlink()
    groups(folder)[1].unlink()
    (folder / "parts" / "0001-0.safetensors").unlink()
    assert np.array_equal(embed_in_parts(fitted(), file, folder, **SIZE), z)
    assert counts == {"groups": 1, "slices": 1}
    # What was made once needs nothing else.
    shutil.rmtree(folder / "groups")
    shutil.rmtree(folder / "parts")
    assert np.array_equal(embed_in_parts(fitted(), file, folder, **SIZE), z)
    assert counts == {"groups": 1, "slices": 1}


def damaged(raw):
    yield raw[: len(raw) // 2]
    yield b""
    for place in (3, 40, len(raw) // 2, len(raw) - 1):
        changed = bytearray(raw)
        changed[place] ^= 4
        yield bytes(changed)


@pytest.mark.parametrize(
    "name", ["groups/0000-0-000002.safetensors", "parts/0001-0.safetensors", "embedding.npy"]
)
def test_what_is_damaged_is_made_again(file, begun, tmp_path, z, caplog, name):
    caplog.set_level(logging.CRITICAL)
    shutil.copytree(begun, tmp_path / "parts")
    path = tmp_path / "parts" / name
    raw = path.read_bytes()
    for changed in damaged(raw):
        path.write_bytes(changed)
        if not name.startswith("embedding"):
            (tmp_path / "parts" / "embedding.npy").unlink()
        found = embed_in_parts(fitted(), file, tmp_path / "parts", **SIZE)
        assert np.array_equal(found, z)
        del found
        assert path.read_bytes() == raw


def test_a_damaged_note_of_what_was_begun(file, folder):
    path = folder / "begun.json"
    for changed in (path.read_bytes()[:-30], path.read_bytes().replace(b'"seed": 0', b'"seed": 1')):
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="begun.json' is damaged; name another folder"):
            embed_in_parts(fitted(), file, folder, seed=1, **SIZE)


def other_model():
    model = SToFM(**fitted().config).eval()
    model.features, model.settings = fitted().features, fitted().settings
    model.read_out = fitted().read_out
    return model


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 1}, "seed 0 -> 1"),
        ({"cells_per_part": 16}, "cells_per_part 15 -> 16"),
        ({"layers": "last"}, "read_out.layers all -> last"),
        ({"method": "grid"}, "method metis -> grid"),
        ({"microns_per_unit": 2.0}, "settings.microns_per_unit 1.0 -> 2.0"),
        ({"parts_per_group": 3}, "parts_per_group 2 -> 3"),
    ],
)
def test_a_folder_that_was_begun_with_something_else(file, folder, options, words):
    with pytest.raises(ValueError, match=f"was begun with something else .{words}.; go on with"):
        embed_in_parts(fitted(), file, folder, **{**SIZE, **options})


def test_another_model_or_source(tissue, file, folder, tmp_path):
    with pytest.raises(ValueError, match=r"something else \(model \w+ -> \w+\)"):
        embed_in_parts(other_model(), file, folder, **SIZE)
    changed = tissue.copy()
    changed.X.data[7] += 1
    changed.write_h5ad(tmp_path / "changed.h5ad")
    with pytest.raises(ValueError, match=r"something else \(source \w+ -> \w+\)"):
        embed_in_parts(fitted(), tmp_path / "changed.h5ad", folder, **SIZE)
    with pytest.raises(ValueError, match=r"something else \(source \w+ -> \w+\)"):
        embed_in_parts(fitted(), tissue, folder, **SIZE)


def test_arguments(tissue, tmp_path):
    for share in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match=r"'share' must be \(k, n\) with 0 <= k < n \(got"):
            embed_in_parts(fitted(), tissue, tmp_path, share)
    with pytest.raises(ValueError, match=r"'parts_per_group' must be at least 1 \(got 0\)"):
        embed_in_parts(fitted(), tissue, tmp_path, parts_per_group=0)
    with pytest.raises(ValueError, match=r"'cells_per_part' must be at least 1 \(got 0\)"):
        embed_in_parts(fitted(), tissue, tmp_path, cells_per_part=0)
    with pytest.raises(TypeError, match="Unknown argument 'radius'"):
        embed_in_parts(fitted(), tissue, tmp_path, radius=2.0)
    with pytest.raises(
        TypeError, match="the path of a file or folder, got Data; 'SToFM.embed' takes slices"
    ):
        embed_in_parts(fitted(), fitted().slices(tissue)[0], tmp_path)
    with pytest.raises(ValueError, match="no features of its own"):
        embed_in_parts(SToFM(5, 8, 1, heads=2), tissue, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_shares_one_after_another(file, tmp_path, z, caplog):
    caplog.set_level(logging.INFO)
    assert embed_in_parts(fitted(), file, tmp_path, (1, 3), **SIZE) is None
    first = groups(tmp_path)
    assert "3 of 8 groups of parts are embedded; others are at the rest" in caplog.text
    assert embed_in_parts(fitted(), file, tmp_path, (2, 3), **SIZE) is None
    assert not (tmp_path / "embedding.npy").exists()
    found = embed_in_parts(fitted(), file, tmp_path, (0, 3), **SIZE)
    assert np.array_equal(found, z)
    assert len(groups(tmp_path)) == 8 and set(first) < set(groups(tmp_path))
    # Whoever asks later gets it, too.
    assert np.array_equal(embed_in_parts(fitted(), file, tmp_path, (1, 3), **SIZE), z)


def test_a_group_of_another_that_is_damaged(file, folder, caplog):
    (folder / "embedding.json").unlink()
    path = groups(folder)[3]
    path.write_bytes(path.read_bytes()[:-1])
    assert embed_in_parts(fitted(), file, folder, (0, 2), **SIZE) is None
    assert "0000-0-000006.safetensors' is damaged, and made again" in caplog.text
    assert not path.exists()
    assert embed_in_parts(fitted(), file, folder, (1, 2), **SIZE) is not None


def child(function):
    """Runs a function in a process of its own."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            torch.set_num_threads(1)  # Other threads than the one that forks are not in the fork.
            function()
            status = 0
        finally:
            os._exit(status)
    return pid


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_two_processes_at_once(file, tmp_path, z):
    model = fitted()

    def work(number):
        found = embed_in_parts(model, file, tmp_path / "parts", (number, 2), **SIZE)
        (tmp_path / f"{number}.json").write_text(json.dumps(found is not None))

    children = [child(lambda number=number: work(number)) for number in range(2)]
    assert [ended(pid) for pid in children] == [0, 0]
    one = [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(2)]
    assert sorted(one) == [False, True]  # One of them has put all together.
    assert np.array_equal(np.load(tmp_path / "parts" / "embedding.npy"), z)


@pytest.mark.parametrize("after", ["parts", "groups"])
def test_killed_and_started_again(file, tmp_path, z, monkeypatch, after):
    model, folder = fitted(), tmp_path / "parts"
    embed = module._embed_parts

    def slowly(*args):
        time.sleep(0.1)
        return embed(*args)

    monkeypatch.setattr(module, "_embed_parts", slowly)
    pid = child(lambda: embed_in_parts(model, file, folder, **SIZE))
    deadline = time.monotonic() + 60
    while not list((folder / after).glob("*.safetensors")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    assert ended(pid) == -signal.SIGKILL
    assert not (folder / "embedding.npy").exists()
    monkeypatch.setattr(module, "_embed_parts", embed)
    counts = made(monkeypatch)
    assert np.array_equal(embed_in_parts(model, file, folder, **SIZE), z)
    assert counts["groups"] < 8 or after == "parts"
    names = {path.name for path in folder.rglob("*") if path.name.startswith(".")}
    assert names == set()


def test_others_wait_while_one_cuts(file, tmp_path, z, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    model, folder, read = fitted(), tmp_path / "parts", module.read_slice

    def slowly(*args):
        time.sleep(0.5)
        return read(*args)

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_slice", slowly)
        pid = child(lambda: embed_in_parts(model, file, folder, (0, 2), **SIZE))
    while not (folder / ".lock").exists():
        time.sleep(0.01)
    counts = made(monkeypatch)
    embed_in_parts(model, file, folder, (1, 2), **SIZE)
    assert ended(pid) == 0 and counts["slices"] == 0
    assert f"is in use: process {pid} on" in caplog.text
    assert np.array_equal(np.load(folder / "embedding.npy"), z)


def test_the_bar_tells_of_the_own_share(file, folder, capfd):
    (folder / "embedding.json").unlink()
    gone = groups(folder)[2]
    gone.unlink()
    capfd.readouterr()
    embed_in_parts(fitted(), file, folder, (0, 2), progress=True, **SIZE)
    lines = capfd.readouterr().err.strip().split("\r")
    shares = [line for line in lines if "Embedding" in line]
    total = int(shares[-1].split("/")[1].split(" ")[0])
    done = int(shares[0].split("/")[0].split("|")[-1])
    assert 0 < done < total < 200 and f" {total}/{total} " in shares[-1]


def test_a_batch_that_does_not_fit(file, tmp_path, z, monkeypatch):
    real, tried = module.embed_batch, []

    def embed_batch(model, batch, *args):
        tried.append(batch.num_graphs)
        if batch.num_graphs > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(model, batch, *args)

    monkeypatch.setattr(module, "embed_batch", embed_batch)
    most = 1
    found = embed_in_parts(fitted(), file, tmp_path / "a", batch_size=2, **SIZE)
    assert np.abs(found - z).max() <= 1e-5 and tried[:3] == [2, 1, 1] and 2 not in tried[1:]
    most = 0
    with pytest.raises(torch.OutOfMemoryError, match="pass a smaller 'cells_per_part', and another f"):
        embed_in_parts(fitted(), file, tmp_path / "b", batch_size=2, **SIZE)


def test_the_folder_cannot_be_made(file, tmp_path):
    (tmp_path / "file").write_text("a")
    with pytest.raises(OSError, match="file"):
        embed_in_parts(fitted(), file, tmp_path / "file" / "parts", **SIZE)
