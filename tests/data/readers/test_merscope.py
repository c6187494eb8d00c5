import pandas as pd
import pytest

from stofm_pyg.data import read


def test_names_and_blanks(write, tissue, tmp_path, caplog):
    folder = write("MERSCOPE", tmp_path / "a")
    with caplog.at_level("INFO", "stofm_pyg.data.readers"):
        adata = read(folder)
    tissue.check(adata, 1e-9)
    # Longer than any integer of 64 bits.
    assert adata.obs_names[1] == "110883424764611924400221639916314253470"
    assert adata.obs["volume"].tolist() == [500.5] * 49
    assert "2 control probes left out" in caplog.text


def test_prefixes_of_files(write, tissue, tmp_path):
    folder = write("MERSCOPE", tmp_path / "a")
    (folder / "cell_by_gene.csv").rename(folder / "Liver1_cell_by_gene_S1R1.csv")
    (folder / "cell_metadata.csv").rename(folder / "Liver1_cell_metadata_S1R1.csv")
    tissue.check(read(folder))


def test_cells_of_one_table_alone(write, tmp_path, caplog):
    folder = write("MERSCOPE", tmp_path / "a")
    counts = pd.read_csv(folder / "cell_by_gene.csv", dtype={"cell": str})
    counts.iloc[:-2].to_csv(folder / "cell_by_gene.csv", index=False)
    with caplog.at_level("INFO", "stofm_pyg.data.readers"):
        assert read(folder).n_obs == 47
    assert "2 cells without a row of counts left out" in caplog.text
    table = pd.read_csv(folder / "cell_metadata.csv", dtype={"EntityID": str})
    table.iloc[:-1].to_csv(folder / "cell_metadata.csv", index=False)
    with pytest.raises(ValueError, match=r"1 of the 47 .* the first '1108834247646119\d+69'"):
        read(folder)
    pd.concat([table, table]).to_csv(folder / "cell_metadata.csv", index=False)
    with pytest.raises(ValueError, match="cell_metadata.csv' names the cell '1108.*' twice"):
        read(folder)


@pytest.mark.parametrize("name, column", [("cell_by_gene", "Blank-22"), ("cell_metadata", "center_y")])
def test_cut_in_the_last_row(write, tmp_path, name, column):
    path = write("MERSCOPE", tmp_path / "a") / f"{name}.csv"
    text = path.read_text().rstrip("\n")
    path.write_text(text[: text.rindex(",")])
    with pytest.raises(ValueError, match=rf"{name}.csv' .* no (value for )?'{column}'"):
        read(path.parent)


def test_words_in_the_place_of_counts(write, tmp_path):
    path = write("MERSCOPE", tmp_path / "a") / "cell_by_gene.csv"
    path.write_text(path.read_text().replace(",3\n", ",many\n", 1))
    with pytest.raises(ValueError, match="cell_by_gene.csv' .* no table of counts .*many"):
        read(path.parent)
