"""Slices as others might hand them over: any type, layout, order and kind of names."""

import anndata
import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from hypothesis import strategies as st
from scipy import sparse

COUNT_TYPES = (np.float32, np.float64, np.int32, np.int64, np.uint16, np.uint8)
LAYOUTS = ("csr", "csc", "C", "F", "csr unsorted", "csr int64", "csr zeros")
NAMES = ("number", "word", "unicode", "long")
PLACES = ("jittered", "lattice", "uniform", "twins", "line", "far")
KINDS_OF_LABEL = ("category", "text", "integer", "float", "boolean", "string", "Int64", "unused")
GENES = [f"GENE{i}" for i in range(12)]

anndata.settings.allow_write_nullable_strings = True


def matrix(counts, layout):
    """Counts in a layout, the same in value."""
    if layout in ("C", "F"):
        return np.array(counts, order=layout)
    if layout == "csc":
        return sparse.csc_matrix(counts)
    out = sparse.csr_matrix(counts)
    if layout == "csr unsorted":
        for start, end in zip(out.indptr[:-1], out.indptr[1:], strict=True):
            out.indices[start:end] = out.indices[start:end][::-1]
            out.data[start:end] = out.data[start:end][::-1]
        out.has_sorted_indices = False
    if layout == "csr int64":
        out.indices, out.indptr = out.indices.astype(np.int64), out.indptr.astype(np.int64)
    if layout == "csr zeros" and out.nnz > 0:
        out.data[0] = 0
    return out


def positions(rng, kind, num_cells):
    side = max(1, int(np.ceil(np.sqrt(num_cells))))
    lattice = np.stack(np.divmod(np.arange(num_cells), side), axis=1).astype(float)
    if kind == "jittered":
        return lattice + rng.uniform(-0.3, 0.3, lattice.shape)
    if kind == "uniform":
        return rng.uniform(0, side, lattice.shape)
    if kind == "twins":
        return np.repeat(lattice, 2, axis=0)[:num_cells] + 0.0
    if kind == "line":
        return np.stack([np.arange(num_cells), np.zeros(num_cells)], axis=1).astype(float)
    if kind == "far" and num_cells > 0:
        lattice[-1] += 1e4
    return lattice


def names(rng, kind, count):
    order = rng.permutation(count)
    if kind == "number":
        return [str(i) for i in range(count)]
    if kind == "word":
        return [f"cell_{i}-1" for i in order]
    if kind == "unicode":
        return [f"zelle µ{i} «{chr(0x4E00 + i)}»" for i in order]
    return [f"{'ACGT' * 8}-{i}" for i in order]


def label(rng, kind, count):
    """A column with a few classes, some missing where its kind can say so; and what each cell has."""
    number = rng.integers(0, 3, count)
    missing = rng.random(count) < 0.2
    text = np.array(["a", "b b", "ç"], dtype=object)[number]
    if kind == "integer":
        return number, [str(n) for n in number]
    if kind == "boolean":
        return number > 0, [str(n > 0) for n in number]
    shown = [None if gone else str(value) for gone, value in zip(missing, text, strict=True)]
    if kind in ("float", "Int64"):
        values = pd.array([None if gone else int(n) for gone, n in zip(missing, number, strict=True)],
                          dtype="Int64")  # fmt: skip
        shown = [None if gone else str(n) for gone, n in zip(missing, number, strict=True)]
        return (values.to_numpy(float, na_value=np.nan) if kind == "float" else values), shown
    values = [np.nan if gone else value for gone, value in zip(missing, text, strict=True)]
    if kind == "category":
        return pd.Categorical(values), shown
    if kind == "unused":
        return pd.Categorical(values, categories=["z", "a", "b b", "ç"]), shown
    if kind == "string":
        return pd.array([pd.NA if gone else v for gone, v in zip(missing, text, strict=True)],
                        dtype="string"), shown  # fmt: skip
    return np.array(values, dtype=object), shown


@st.composite
def adatas(draw, min_cells=0, max_cells=300):
    """An AnnData with counts, positions, up to three slices that lie mixed, and a label, which as it is
    read comes beside."""
    small = st.integers(min_cells, min(40, max_cells))
    count = draw(st.one_of(st.integers(min_cells, max_cells), small))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = rng.poisson(draw(st.sampled_from((0.1, 1.0, 5.0))), (count, len(GENES)))
    counts[:, 0] += 1  # A cell without a count is another matter.
    counts = np.minimum(counts, 200).astype(draw(st.sampled_from(COUNT_TYPES)))
    shown_of = draw(st.sampled_from(KINDS_OF_LABEL))
    column, shown = label(rng, shown_of, count)
    slices = np.array([f"s{i}" for i in range(9)])[rng.integers(0, draw(st.integers(1, 3)), count)]
    if draw(st.booleans()):
        slices = pd.Categorical(slices, categories=np.unique(slices)[::-1])
    cells = names(rng, draw(st.sampled_from(NAMES)), count)
    obs = pd.DataFrame({"slice": slices, "domain": column}, index=cells)
    out = AnnData(matrix(counts, draw(st.sampled_from(LAYOUTS))), obs=obs, var=pd.DataFrame(index=GENES))
    pos = np.empty((count, 2))
    place = draw(st.sampled_from(PLACES))
    for name in np.unique(np.asarray(obs["slice"], dtype=str)):
        own = np.flatnonzero(np.asarray(obs["slice"], dtype=str) == name)
        pos[own] = rng.permutation(positions(rng, place, len(own)))
    pos = draw(st.sampled_from((1.0, 37.5))) * pos + draw(st.sampled_from((0.0, 1e4)))
    out.obsm["spatial"] = pos.astype(draw(st.sampled_from((np.float64, np.float32))))
    return out, shown


@st.composite
def graphs(draw, min_nodes=2, max_nodes=60):
    """Positions (N, 2) of cells, and the pairs of them, each once, that a graph ties."""
    count = draw(st.integers(min_nodes, max_nodes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pos = torch.from_numpy(positions(rng, draw(st.sampled_from(PLACES)), count))
    pairs = torch.combinations(torch.arange(count))
    near = (pos[pairs[:, 0]] - pos[pairs[:, 1]]).norm(dim=1) <= draw(st.sampled_from((1.2, 2.5, 9.0)))
    return pos, pairs[near].t(), rng
