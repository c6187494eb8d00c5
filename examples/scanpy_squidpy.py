r"""Back into scanpy and squidpy: `python examples/scanpy_squidpy.py --data FILE.h5ad`.

`to_anndata` writes an embedding to `obsm`, and the graph of the slices under the names that squidpy
reads (`obsp["spatial_connectivities"]`, `uns["spatial_neighbors"]`), so that `squidpy.gr`
works on the very edges that a model saw. Prints what it finds: how much more often cells of one cluster
are neighbours than by chance, and the gene that varies most in space. `pip install scanpy squidpy`.
"""

import warnings

import anndata
import torch
from common import arguments
from torch_geometric.nn import SimpleConv

from stofm_pyg.data import slices_from_anndata, to_anndata
from stofm_pyg.datasets import generate_tissue


def main(argv: list[str] | None = None) -> dict[str, float | str]:
    args = arguments(__doc__, argv, epochs=1, genes=50, out="")
    try:
        import scanpy as sc
        import squidpy as sq
    except ImportError as error:
        raise ImportError(f"{error.name} is missing: pip install scanpy squidpy") from error

    adata = anndata.read_h5ad(args.data) if args.data else generate_tissue(
        cells_per_slice=args.cells, seed=args.seed
    )  # fmt: skip
    slices = slices_from_anndata(
        adata, slice_key=args.slice_key, radius=3.0, virtual_cells=False, labels=args.label
    )

    # Any embedding of the nodes goes back; here that of a cell and the mean of its neighbours.
    mean = SimpleConv(aggr="mean", combine_root="self_loop")
    with torch.no_grad():
        embedding = [mean(data.x, data.edge_index) for data in slices]
    to_anndata(slices, adata, embedding=embedding, embedding_key="X_mean", graph=True)

    # scanpy clusters the embedding ...
    sc.pp.neighbors(adata, use_rep="X_mean")
    sc.tl.leiden(adata, resolution=0.5, flavor="igraph", n_iterations=2, directed=False)
    # ... and squidpy asks how the clusters lie to one another, along our edges.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sq.gr.nhood_enrichment(
            adata, cluster_key="leiden", n_perms=100, seed=args.seed, show_progress_bar=False
        )
        sq.gr.interaction_matrix(adata, cluster_key="leiden", normalized=True)
        sq.gr.centrality_scores(adata, cluster_key="leiden", show_progress_bar=False)
        adata.layers["counts"] = adata.X.copy()
        sc.pp.normalize_total(adata)
        sc.pp.log1p(adata)
        genes = adata.var_names[: args.genes]
        sq.gr.spatial_autocorr(adata, mode="moran", genes=genes, show_progress_bar=False)

    zscore = adata.uns["leiden_nhood_enrichment"]["zscore"]
    result = {
        "clusters": adata.obs["leiden"].nunique(),
        "zscore": float(zscore.diagonal().mean()),
        "within": float(adata.uns["leiden_interactions"].diagonal().mean()),
        "gene": adata.uns["moranI"].index[0],
        "moran": float(adata.uns["moranI"]["I"].iloc[0]),
    }
    print(f"{result['clusters']} clusters; z-score of neighbours of one cluster: {result['zscore']:.1f}")
    print(f"share of edges inside a cluster: {result['within']:.2f}")
    print(f"most spatial of {len(genes)} genes: {result['gene']} (Moran's I {result['moran']:.2f})")
    if args.out:
        adata.write_h5ad(args.out)
    return result


if __name__ == "__main__":
    main()
