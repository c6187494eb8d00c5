from stofm_pyg.data import Keys


def test_names():
    assert Keys.SPATIAL == "spatial"
    assert Keys.SLICE == "slice"
    assert Keys.EMBEDDING == "X_stofm"
    assert Keys.PREDICTION == "stofm_prediction"


def test_graph_has_the_names_of_squidpy():
    assert Keys.CONNECTIVITIES == f"{Keys.SPATIAL}_connectivities"
    assert Keys.DISTANCES == f"{Keys.SPATIAL}_distances"
    assert Keys.NEIGHBORS == f"{Keys.SPATIAL}_neighbors"
