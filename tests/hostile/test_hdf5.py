"""h5ad files whose content is elsewhere, or nowhere."""

import h5py
import numpy as np
import pytest
from anndata import AnnData

from stofm_pyg.data import read
from stofm_pyg.data.slices.reader import SliceReader
from tests.hostile.memory import refused_within


@pytest.fixture()
def path(tmp_path):
    adata = AnnData(np.ones((6, 3), dtype=np.float32))
    adata.obsm["spatial"] = np.arange(12.0).reshape(6, 2)
    adata.write_h5ad(tmp_path / "a.h5ad")
    adata.write_h5ad(tmp_path / "secret.h5ad")
    return tmp_path / "a.h5ad"


def refused(path, told):
    for reads in (read, SliceReader, lambda p: read(p, backed=True)):
        said = refused_within(lambda reads=reads: reads(path))
        assert told in said and str(path) in said and "\n" not in said, said


def test_a_file_of_its_own_is_read(path):
    assert SliceReader(path).num_cells == read(path).n_obs == 6


@pytest.mark.parametrize("place", ["X", "obsm/spatial", "uns/deep/inside", "obs"])
def test_a_link_to_another_file(path, place):
    with h5py.File(path, "a") as file:
        if place in file:
            del file[place]
        file[place] = h5py.ExternalLink("secret.h5ad", "/X")
    refused(path, f"'/{place}' is a link to the file 'secret.h5ad'")


def test_values_outside_of_the_file(path):
    (path.parent / "raw").write_bytes(bytes(200))
    with h5py.File(path, "a") as file:
        file.create_dataset("layers/raw", (6, 3), "f4", external=[("raw", 0, 72)])
    refused(path, "the values of '/layers/raw' are kept in other files")


def test_values_put_together_of_other_files(path):
    layout = h5py.VirtualLayout((6, 3), "f4")
    layout[:] = h5py.VirtualSource("secret.h5ad", "X", (6, 3))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("layers/raw", layout)
    refused(path, "the values of '/layers/raw' are kept in other files")


@pytest.mark.parametrize("place", ["X", "obsm/spatial", "obs/_index"])
def test_an_array_of_absurd_shape(path, place):
    with h5py.File(path, "a") as file:
        attributes = dict(file[place].attrs)
        del file[place]
        made = file.create_dataset(place, (2**40, 3), "f4", chunks=(1024, 3), compression="gzip")
        made.attrs.update(attributes)
    refused(path, f"'/{place}' claims 13,194,139,533,312 bytes, of which the file holds 0")


def test_a_group_that_holds_itself(path):
    with h5py.File(path, "a") as file:
        file["uns/self"] = file["uns"]
    assert SliceReader(path).num_cells == 6
