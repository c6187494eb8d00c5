import os

from anndata import AnnData
from torch_geometric.data import Data

from stofm_pyg.data import GeneVocab, Keys, RankValueTokenizer, slices_from_anndata
from stofm_pyg.data.slices.files import opened_anndata
from stofm_pyg.data.slices.rows import slice_rows
from stofm_pyg.models.cell_encoder.model import CellEncoder

# The official code stops at 200 clusters, and mostly gets about as many.
OFFICIAL = {"unit": "official", "radius": None, "max_clusters": 200}


def slices_from_counts(
    adata: AnnData | str | os.PathLike,
    vocab: GeneVocab,
    cell_encoder: CellEncoder,
    *,
    slice_key: str | None = Keys.SLICE,
    layer: str | None = None,
    graph: str = "radius",
    center: bool = False,
    cache: str | os.PathLike | None = None,
    progress: bool = False,
    **kwargs,
) -> list[Data]:
    r"""Converts raw counts to slices whose features are the embeddings of their cells: counts to ranked
    tokens, tokens to embeddings, and virtual cells as means of embeddings.

    Args:
        adata (AnnData or str or PathLike): Cells by genes, raw counts, or an h5ad file.
        vocab (GeneVocab): The vocabulary of the encoder.
        cell_encoder (CellEncoder): The encoder of cells.
        slice_key (str, optional): The column of :obj:`adata.obs` that tells slices apart.
            (default: :obj:`"slice"`)
        layer (str, optional): The layer that holds raw counts. (default: :obj:`None`)
        graph (str, optional): The graph that the model wants, :obj:`SToFM.graph`: with
            :obj:`"official"`, positions are in the official unit. (default: :obj:`"radius"`)
        center (bool, optional): Subtract from the embeddings of each slice their mean, if the model
            wants that, :obj:`SToFM.center`. (default: :obj:`False`)
        cache (str or PathLike, optional): A directory that keeps embeddings of cells.
            (default: :obj:`None`)
        progress (bool, optional): Show a progress bar. (default: :obj:`False`)
        **kwargs (optional): Additional arguments of :meth:`~stofm_pyg.data.slices.convert`.

    Raises:
        ValueError: No or few genes match, counts are not raw, or vocabulary and encoder do not fit.
    """
    cell_encoder.check_vocab(vocab)
    tokens = RankValueTokenizer(vocab, cell_encoder.max_length)(adata, layer)
    x = cell_encoder.encode(tokens, cache=cache, progress=progress)
    if center:
        with opened_anndata(adata) as opened:
            for _, rows in slice_rows(opened, slice_key):
                x[rows] -= x[rows].mean(dim=0)
    defaults = OFFICIAL if graph == "official" else {}
    return slices_from_anndata(adata, slice_key=slice_key, features=x, **(defaults | kwargs))
