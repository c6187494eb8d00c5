from stofm_pyg.data.token_report import TokenReport


def test_in_words():
    report = TokenReport(17136, 305, 306, 2, 31, 2048, 66.5, "Names: human.")
    assert str(report) == (
        "17,136 cells, 305 genes of the vocabulary in 306 columns; 2 cells have none of these genes, "
        "31 truncated at 2,048 tokens, median length 66.5. Names: human."
    )
