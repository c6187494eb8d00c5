r"""Learning a label of cells."""
