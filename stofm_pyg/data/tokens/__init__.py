r"""Cells as ranked tokens of their genes."""
