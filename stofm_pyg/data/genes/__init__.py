r"""Names of genes, orthologues, and the vocabulary of a cell encoder."""
