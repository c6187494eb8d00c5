from stofm_pyg.data.errors import NotInSource, unknown_key


def test_message():
    error = unknown_key("Domain", "adata.obs", ["slice", "domain"], "Do this.")
    assert type(error) is NotInSource and isinstance(error, ValueError)
    assert str(error) == (
        "'Domain' is not in 'adata.obs', which holds 'slice', 'domain'. Did you mean 'domain'? Do this."
    )


def test_without_near_match_or_known_names():
    assert str(unknown_key("zzz", "adata.obs", ["slice"])) == (
        "'zzz' is not in 'adata.obs', which holds 'slice'."
    )
    assert str(unknown_key("zzz", "adata.obsm", [])) == (
        "'zzz' is not in 'adata.obsm', which holds nothing."
    )
