from collections.abc import Sequence

import numpy as np
import torch
from anndata import AnnData
from scipy import sparse
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from stofm_pyg.transforms._ligand_receptor_pairs import Pairs, ligand_receptor_pairs

# All pairs of cells are scored by one product where they are at most so many times as many as edges,
# else edge by edge, so many numbers at a time.
DENSE, CHUNK = 16, 2**24


@functional_transform("ligand_receptor_prior")
class LigandReceptorPrior(BaseTransform):
    r"""Scores every edge by the ligands that its source expresses and the receptors that its target has
    for them (functional name: :obj:`ligand_receptor_prior`):

    .. math::
        s_{j,i} = \frac{1}{c} \sum_{(l, r)} x_{j,l} \, x_{i,r}

    over the pairs of a table, with logarithms :math:`x` of counts normalised per cell, and the root
    mean square :math:`c` of the sum over all pairs of cells, so that scores are of the order of one. It
    goes to :obj:`data.edge_prior`, for layers with :obj:`prior_channels=1`. Edges of virtual cells
    and CLS score zero. As edges that are added later have no score, apply it last.

    The genes of a complex are its least expressed one. Names are compared in upper case, so that symbols
    of mouse genes find those of their human namesakes.

    Args:
        adata (AnnData): The cells that :obj:`data.cell_id` counts the rows of, with raw counts.
        pairs (str or PathLike or iterable, optional): The name of a resource in the package liana, a CSV
            file with two columns, or pairs :obj:`(ligand, receptor)`. (default: :obj:`"consensus"`)
        layer (str, optional): The layer of the raw counts, if they are not in :obj:`adata.X`.
            (default: :obj:`None`)
        genes (sequence of str, optional): The symbols of the genes, if :obj:`adata.var_names` are none.
            (default: :obj:`None`)

    **Shapes**, after it:
        - :obj:`edge_prior`: :math:`(|\mathcal{E}|, 1)` float32, not negative

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: The package liana is asked for and not installed.
        ValueError: There are no such pairs, counts or genes, or a slice has no graph or other cells.
    """

    def __init__(
        self,
        adata: AnnData,
        pairs: Pairs = "consensus",
        layer: str | None = None,
        genes: Sequence[str] | None = None,
    ):
        if layer is not None and layer not in adata.layers:
            raise ValueError(f"There is no layer '{layer}'; known: {', '.join(adata.layers) or 'none'}")
        names = [str(name).upper() for name in (adata.var_names if genes is None else genes)]
        if len(names) != adata.n_vars:
            raise ValueError(f"'genes' must name the {adata.n_vars} genes (got {len(names)} names)")
        column = {name: number for number, name in reversed(list(enumerate(names)))}

        table = [tuple(name.upper() for name in pair) for pair in ligand_receptor_pairs(pairs)]
        #: The pairs of the table whose genes are all there.
        self.pairs = [
            pair for pair in table if all(g in column for name in pair for g in name.split("_"))
        ]
        if not self.pairs:
            raise ValueError(
                f"None of the {len(table)} pairs has both its genes among the {len(names)} of the "
                f"slices, such as '{next(iter(names), '')}'; pass symbols as 'genes', or other 'pairs'"
            )
        ligands, receptors = (sorted({pair[side] for pair in self.pairs}) for side in (0, 1))
        x = adata.X if layer is None else adata.layers[layer]
        expression = _log_normalised(x[:] if adata.isbacked else x, column, [*ligands, *receptors])
        ligand, self.receptor = expression.split([len(ligands), len(receptors)], dim=1)

        # One product for all ligands of a receptor.
        joined = torch.zeros(len(ligands), len(receptors))
        for source, target in self.pairs:
            joined[ligands.index(source), receptors.index(target)] = 1.0
        self.ligand = ligand @ joined
        products = [x.double().t() @ x.double() / len(x) for x in (self.ligand, self.receptor)]
        mean = float((products[0] * products[1]).sum())
        self.scale = mean**-0.5 if mean > 0 else 1.0

    def forward(self, data: Data) -> Data:
        if data.edge_index is None:
            raise ValueError("The slice has no graph; apply 'SpatialRadiusGraph' first")
        row = data.get("cell_id")
        if row is None or (row.numel() > 0 and int(row.max()) >= len(self.ligand)):
            got = "no 'cell_id'" if row is None else f"'cell_id' {int(row.max())}"
            raise ValueError(
                f"A slice of the {len(self.ligand)} cells of the AnnData is needed (got {got}); take "
                f"the AnnData that the slices were made from"
            )
        # Nodes that are no cell have neither ligands nor receptors.
        row, edge_index = row.cpu(), data.edge_index.cpu()
        other = row.view(-1, 1) < 0
        ligand, receptor = (
            x[row.clamp(min=0)].masked_fill(other, 0.0) for x in (self.ligand, self.receptor)
        )
        if row.numel() ** 2 <= DENSE * edge_index.size(1):
            score = (ligand @ receptor.t())[edge_index[0], edge_index[1]]
        else:
            step = max(1, CHUNK // receptor.size(1))
            parts = edge_index.split(step, dim=1)
            score = torch.cat([(ligand[j] * receptor[i]).sum(dim=1) for j, i in parts])
        data.edge_prior = (self.scale * score).view(-1, 1).to(data.edge_index.device)
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({len(self.pairs)} pairs)"


def _log_normalised(x, column: dict[str, int], names: list[str]) -> Tensor:
    # Expression of genes and complexes :math:`(N, len(names))`.
    total = np.asarray(x.sum(axis=1), dtype=np.float64).reshape(-1)
    if not np.isfinite(total).all() or (total < 0).any():
        raise ValueError("Counts must be finite and not negative; check 'adata.X' or pass 'layer'")
    factor = np.median(total[total > 0]) / np.maximum(total, 1e-12) if (total > 0).any() else total
    genes = sorted({gene for name in names for gene in name.split("_")})
    part = x[:, [column[gene] for gene in genes]]
    part = part.toarray() if sparse.issparse(part) else np.asarray(part)
    part = torch.from_numpy(np.log1p(part * factor[:, None])).float()
    place = {gene: number for number, gene in enumerate(genes)}
    return torch.stack(
        [part[:, [place[gene] for gene in name.split("_")]].amin(dim=1) for name in names], dim=1
    )
