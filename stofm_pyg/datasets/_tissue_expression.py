"""The biology that all generated slices share, and the cells and counts drawn from it on one."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.random import Generator

from stofm_pyg.datasets._tissue_geometry import (
    TissueLayout,
    cell_spacing,
    num_nested,
    smooth_noise,
)
from stofm_pyg.datasets._tissue_programs import (
    SpatialPrograms,
    make_programs,
    program_activity,
    sparse_loadings,
)

COUNTS_PER_GENE = 1.25
DROPOUT = 0.3
CELLS_PER_BLOCK = 8192
# How strongly cells of one type clump in a domain, and over how many spacings.
MIXED, CLUMPED, CLUMP_LENGTH = 0.2, 1.6, 2.2


@dataclass(frozen=True)
class TissueBiology:
    """What does not change from slice to slice.

    Args:
        log_profile: Log expression of every cell type, shape :obj:`[K, G]`.
        domain_shift: Weak log fold change of every domain, shape :obj:`[D, G]`.
        composition: Shares of the cell types in every domain, shape :obj:`[D, K]`.
        clumping: How strongly cells of one type clump in every domain, shape :obj:`[D]`.
        programs: What cells express by where they are and what lies around them.
        dispersion: Negative-binomial size of every gene, shape :obj:`[G]`.
    """

    log_profile: np.ndarray
    domain_shift: np.ndarray
    composition: np.ndarray
    clumping: np.ndarray
    programs: SpatialPrograms
    dispersion: np.ndarray


def make_biology(num_genes: int, num_domains: int, num_cell_types: int, rng: Generator) -> TissueBiology:
    """Draws cell types in lineages, domains that share them, and programs that depend on place.

    Layers two apart and a rim and its core are alike in composition and differ in whether the
    cells of a type clump or mix, which no mean over neighbours tells.
    """
    lineage = np.arange(num_cell_types) % max(2, -(-num_cell_types // 3))
    log_profile = rng.normal(0, 1.1, num_genes)
    log_profile = log_profile + sparse_loadings((lineage.max() + 1, num_genes), 0.3, 1.2, rng)[lineage]
    log_profile = log_profile + sparse_loadings((num_cell_types, num_genes), 0.15, 0.65, rng)

    num_layers = num_domains - num_nested(num_domains)
    common = rng.dirichlet(np.full(num_cell_types, 5.0))
    special = rng.dirichlet(np.full(num_cell_types, 0.4), size=num_domains)
    clumping = np.where(np.arange(num_domains) // 2 % 2 == 0, MIXED, CLUMPED)
    for d in range(2, num_layers):
        special[d] = 0.75 * special[d - 2] + 0.25 * special[d]
    for d in range(num_layers + 1, num_domains, 2):
        special[d] = 0.6 * special[d - 1] + 0.4 * special[d]
    clumping[num_layers:] = np.where(np.arange(num_domains - num_layers) % 2 == 0, CLUMPED, MIXED)
    composition = 0.45 * common + 0.55 * special
    return TissueBiology(
        log_profile=log_profile,
        domain_shift=sparse_loadings((num_domains, num_genes), 0.1, 0.3, rng),
        composition=composition / composition.sum(axis=1, keepdims=True),
        clumping=clumping,
        programs=make_programs(num_genes, num_layers, num_nested(num_domains), num_cell_types, rng),
        dispersion=np.exp(rng.normal(np.log(2.0), 0.3, num_genes)),
    )


def draw_cell_types(
    biology: TissueBiology, points: np.ndarray, domain: np.ndarray, rng: Generator
) -> np.ndarray:
    """Draws every cell's type from its domain's mix, clumped or not, every type at least once.

    Args:
        biology: The tissue.
        points: Positions of shape :obj:`[N, 2]`, before rotation and scale.
        domain: Domain index of every cell, shape :obj:`[N]`.
        rng: Source of this slice's mix, of the clumps and of the cells.

    Returns:
        Type index of every cell, int64 of shape :obj:`[N]`.
    """
    num_types = biology.composition.shape[1]
    mix = np.log(biology.composition) + rng.normal(0, 0.15, biology.composition.shape)
    clumps = smooth_noise(points, CLUMP_LENGTH * cell_spacing(len(points)), rng, num_fields=num_types)
    clumps *= biology.clumping[domain, None]
    cell_type = (mix[domain] + clumps + rng.gumbel(size=clumps.shape)).argmax(axis=1)
    for missing in np.setdiff1d(np.arange(num_types), cell_type):
        plenty = np.flatnonzero(cell_type == np.bincount(cell_type).argmax())
        cell_type[rng.choice(plenty)] = missing
    return cell_type


def draw_counts(
    biology: TissueBiology,
    points: np.ndarray,
    layout: TissueLayout,
    cell_type: np.ndarray,
    rng: Generator,
) -> sp.csr_matrix:
    """Draws negative-binomial counts with dropout, a depth per cell and a batch effect per slice.

    Args:
        biology: The tissue.
        points: Positions of shape :obj:`[N, 2]`, before rotation and scale.
        layout: Where the cells are in the tissue.
        cell_type: Type index of every cell, shape :obj:`[N]`.
        rng: Source of the batch effect, of the slice's own fields and of the counts.

    Returns:
        Whole counts as float32 of shape :obj:`[N, G]`.
    """
    num_cells, num_genes = len(points), biology.dispersion.size
    batch = rng.normal(0, 0.3, num_genes)
    depth = (
        COUNTS_PER_GENE
        * num_genes
        * np.exp(
            rng.normal(0, 0.25)
            + rng.normal(0, 0.5, num_cells)
            + 0.25 * smooth_noise(points, 0.5, rng)[:, 0]
        )
    )
    activity = program_activity(biology.programs, points, layout, cell_type, rng)

    blocks = []
    for start in range(0, num_cells, CELLS_PER_BLOCK):
        rows = slice(start, start + CELLS_PER_BLOCK)
        mean = np.exp(
            biology.log_profile[cell_type[rows]]
            + biology.domain_shift[layout.domain[rows]]
            + activity[rows] @ biology.programs.loadings
            + batch
        ).astype(np.float32)
        mean *= (depth[rows] / mean.sum(axis=1))[:, None]
        size = np.broadcast_to(biology.dispersion.astype(np.float32), mean.shape)
        rate = rng.standard_gamma(size, dtype=np.float32) * (mean / size)
        # Weakly expressed genes are the ones that are missed.
        rate[rng.random(mean.shape, dtype=np.float32) < DROPOUT * np.exp(-0.5 * mean)] = 0
        blocks.append(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
    return sp.vstack(blocks, format="csr")
