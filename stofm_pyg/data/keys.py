class Keys:
    r"""The names under which things are found in and put into an :class:`~anndata.AnnData`.

    :obj:`CONNECTIVITIES`, :obj:`DISTANCES` and :obj:`NEIGHBORS` are the names used by
    `squidpy.gr.spatial_neighbors`, so that squidpy and scanpy find the graph.
    """

    #: :obj:`obsm`: positions of the cells.
    SPATIAL = "spatial"
    #: :obj:`obs`: the slice a cell belongs to.
    SLICE = "slice"
    #: :obj:`obsm`: embedding of the cells.
    EMBEDDING = "X_stofm"
    #: :obj:`obs`: predicted class of the cells.
    PREDICTION = "stofm_prediction"
    #: :obj:`obs`: tissue domain of the cells.
    DOMAIN = "stofm_domain"
    #: :obj:`obsp`: 1 for each edge of the spatial graph.
    CONNECTIVITIES = "spatial_connectivities"
    #: :obj:`obsp`: distance along each edge of the spatial graph.
    DISTANCES = "spatial_distances"
    #: :obj:`uns`: what the two matrices in :obj:`obsp` are called and how they were made.
    NEIGHBORS = "spatial_neighbors"
    #: :obj:`uns`: the unit of positions, as text: :obj:`"micron"`, or what it is called elsewhere.
    UNIT = "spatial_unit"
    #: :obj:`uns`: the format of the files that an AnnData was read from.
    FORMAT = "spatial_format"
