r"""Between an :class:`~anndata.AnnData` and slices as :class:`~torch_geometric.data.Data`."""
