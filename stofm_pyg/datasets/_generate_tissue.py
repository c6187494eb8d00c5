from numbers import Integral

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

from stofm_pyg.datasets._tissue_expression import draw_cell_types, draw_counts, make_biology
from stofm_pyg.datasets._tissue_geometry import domain_names, lay_out, sample_positions

MIN_CELLS_PER_CLASS = 10
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
# From where to where scales go, times the root of the number of cells.
SCALES = (5.0, 30.0)


def generate_tissue(
    num_slices: int = 3,
    cells_per_slice: int = 1000,
    num_genes: int = 200,
    num_unobserved: int = 20,
    num_domains: int = 6,
    num_cell_types: int = 10,
    seed: int = 0,
) -> anndata.AnnData:
    r"""Generates slices of one tissue that are hard in the ways real spatial transcriptomics is.

    Domains are curved layers crossed by nests with a rim, in another shape on every slice.
    Every cell type occurs in several domains, only in another share, so that one cell's
    expression does not give away its domain; some domains differ less in what they are made of
    than in whether the cells of a type clump or mix.
    Counts are negative binomial with dropout, with lineages and types of cells, weak programs of
    the domains, and a gene-wise and a depth effect of every slice.
    Cells also express what depends on place: gradients through the layers and around the nests that
    cross the borders of domains, fields that belong to the slice and to no domain, and answers to
    signals, which need two types of cells around at once, or one without the other, above a
    threshold. How much of the expression lies in place, in domains and in types, and how sparse the
    counts are, is in the range of real slices (:obj:`python -m stofm_pyg inspect --signal --generated`).
    Each slice has its own rotation, scale, offset, outline and density, and a few cells lie
    almost on top of another.
    The first slices do not change when more are asked for.

    Args:
        num_slices (int, optional): Number of slices. (default: :obj:`3`)
        cells_per_slice (int, optional): Number of cells in each. (default: :obj:`1000`)
        num_genes (int, optional): Number of genes in the panel. (default: :obj:`200`)
        num_unobserved (int, optional): Number of further genes that are generated but not in the
            panel. (default: :obj:`20`)
        num_domains (int, optional): Number of domains. (default: :obj:`6`)
        num_cell_types (int, optional): Number of cell types. (default: :obj:`10`)
        seed (int, optional): Seed of everything that is drawn. (default: :obj:`0`)

    Returns:
        An AnnData with :obj:`X` (whole counts, CSR float32,
        :obj:`[num_slices * cells_per_slice, num_genes]`), :obj:`obs["slice"]`,
        :obj:`obs["domain"]`, :obj:`obs["cell_type"]` (categorical), :obj:`obsm["spatial"]`
        (float64, in units of the slice's own), :obj:`obsm["unobserved_counts"]` (CSR float32,
        genes in :obj:`uns["unobserved_genes"]`), :obj:`uns["source"]` (one sentence) and
        :obj:`uns["tissue"]` (the arguments, and :obj:`rotation` in radians, :obj:`scale` and
        :obj:`composition` as drawn).

    Raises:
        TypeError: If an argument is no whole number.
        ValueError: If an argument is too small, or if there are too few cells for the classes.

    Example:
        >>> adata = generate_tissue(num_slices=2, cells_per_slice=500, seed=1)
        >>> adata.shape
        (1000, 200)
    """
    arguments = {
        "num_slices": num_slices,
        "cells_per_slice": cells_per_slice,
        "num_genes": num_genes,
        "num_unobserved": num_unobserved,
        "num_domains": num_domains,
        "num_cell_types": num_cell_types,
        "seed": seed,
    }
    check_tissue_arguments(**arguments)
    tissue_seed, *slice_seeds = np.random.SeedSequence(seed).spawn(1 + num_slices)

    rng = np.random.default_rng(tissue_seed)
    num_all = num_genes + num_unobserved
    biology = make_biology(num_all, num_domains, num_cell_types, rng)
    unobserved = np.zeros(num_all, dtype=bool)
    unobserved[rng.permutation(num_all)[:num_unobserved]] = True
    first_angle, first_scale = rng.uniform(0, 2 * np.pi), rng.uniform()

    positions, domains, cell_types, counts, rotations, scales = [], [], [], [], [], []
    for i, slice_seed in enumerate(slice_seeds):
        rng = np.random.default_rng(slice_seed)
        points = sample_positions(cells_per_slice, rng)
        layout = lay_out(points, num_domains, rng)
        cell_type = draw_cell_types(biology, points, layout.domain, rng)
        counts.append(draw_counts(biology, points, layout, cell_type, rng))
        # By the golden angle and ratio, so that no few slices are alike in them by chance.
        angle = (first_angle + i * GOLDEN_ANGLE + rng.uniform(-0.2, 0.2)) % (2 * np.pi)
        level = (first_scale + i * GOLDEN_ANGLE / (2 * np.pi) + rng.uniform(-0.05, 0.05)) % 1
        scale = np.sqrt(cells_per_slice) * SCALES[0] * (SCALES[1] / SCALES[0]) ** level
        cos, sin = np.cos(angle), np.sin(angle)
        turned = points @ np.array([[cos, sin], [-sin, cos]])
        positions.append(scale * (turned + rng.uniform(1, 3, 2)))
        domains.append(layout.domain)
        cell_types.append(cell_type)
        rotations.append(angle)
        scales.append(scale)

    slice_of_cell = np.repeat(np.arange(num_slices), cells_per_slice)
    obs = pd.DataFrame(
        {
            "slice": pd.Categorical.from_codes(
                slice_of_cell, [f"slice{i}" for i in range(num_slices)]
            ),
            "domain": pd.Categorical.from_codes(np.concatenate(domains), domain_names(num_domains)),
            "cell_type": pd.Categorical.from_codes(
                np.concatenate(cell_types), [f"type{i:02d}" for i in range(num_cell_types)]
            ),
        },
        index=[f"slice{i}_cell{j}" for i in range(num_slices) for j in range(cells_per_slice)],
    )
    genes = np.array([f"gene{i:03d}" for i in range(num_all)])
    counts = sp.vstack(counts, format="csr")
    call = ", ".join(f"{name}={value}" for name, value in arguments.items())
    return anndata.AnnData(
        X=counts[:, np.flatnonzero(~unobserved)],
        obs=obs,
        var=pd.DataFrame(index=genes[~unobserved]),
        obsm={
            "spatial": np.concatenate(positions),
            "unobserved_counts": counts[:, np.flatnonzero(unobserved)],
        },
        uns={
            "source": f"generated by stofm_pyg.datasets.generate_tissue({call})",
            "unobserved_genes": genes[unobserved],
            "tissue": {
                **{name: int(value) for name, value in arguments.items()},
                "rotation": np.array(rotations),
                "scale": np.array(scales),
                "composition": biology.composition,
            },
        },
    )


def check_tissue_arguments(*, cells_per_slice: int, **arguments: int) -> None:
    """Raises where :func:`generate_tissue` cannot make what was asked for."""
    least = {
        "num_slices": 1,
        "cells_per_slice": 1,
        "num_genes": 1,
        "num_unobserved": 0,
        "num_domains": 2,
        "num_cell_types": 2,
        "seed": 0,
    }
    arguments["cells_per_slice"] = cells_per_slice
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(
                f"{name} must be a whole number, got {value!r}; "
                f"pass an int of {least[name]} or more"
            )
        if value < least[name]:
            raise ValueError(
                f"{name} must be at least {least[name]}, got {value}; "
                f"pass {name}={least[name]} or more"
            )
    for name in ("num_domains", "num_cell_types"):
        needed = MIN_CELLS_PER_CLASS * arguments[name]
        if cells_per_slice < needed:
            raise ValueError(
                f"{name}={arguments[name]} needs at least {needed} cells in a slice "
                f"({MIN_CELLS_PER_CLASS} for each), got cells_per_slice={cells_per_slice}; "
                f"use more cells or at most {name}={cells_per_slice // MIN_CELLS_PER_CLASS}"
            )
