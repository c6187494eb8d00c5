import logging
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger(__name__)

SPECIAL = {
    "pad_token_id": "<pad>",
    "mask_token_id": "<mask>",
    "cls_token_id": "<cls>",
    "eos_token_id": "<eos>",
}


def geneformer_arguments(
    tokens: Mapping[str, int],
    medians: Mapping[str, float],
    symbols: Mapping[str, str],
    source: str,
) -> dict[str, Any]:
    r"""Returns the arguments of :class:`~stofm_pyg.data.GeneVocab` for the tables of Geneformer.

    Genes with a token but no median cannot be ranked and are left out; their tokens stay reserved.

    Args:
        tokens (dict): Genes and marks such as :obj:`"<pad>"`, and their token ids.
        medians (dict): Genes and medians.
        symbols (dict): Symbols and genes.
        source (str): Where they come from, for errors.

    Raises:
        ValueError: Token ids are not 0, 1, ..., a mark is missing, or tokens and medians are not of
            the same genes.
    """
    ids = sorted(tokens.values())
    if ids != list(range(len(ids))):
        odd = next(i for i, token in enumerate(ids) if token != i)
        raise ValueError(
            f"The tokens of '{source}' are not 0 to {len(ids) - 1}, each once: {odd} is missing or "
            f"there twice. Download or copy the token dictionary again."
        )
    missing = [SPECIAL[key] for key in ("pad_token_id", "mask_token_id") if SPECIAL[key] not in tokens]
    if missing:
        raise ValueError(
            f"The token dictionary of '{source}' has no {' and no '.join(missing)}: it is none of "
            f"Geneformer's."
        )

    genes = [name for name in tokens if not (name.startswith("<") and name.endswith(">"))]
    known = [gene for gene in genes if gene in medians]
    if 2 * len(known) < len(genes) or not known:
        raise ValueError(
            f"Only {len(known):,} of the {len(genes):,} genes that have a token in '{source}' have "
            f"a median: the two tables are not of one version of Geneformer."
        )
    if len(known) < len(genes):
        logger.warning(
            "%d of %d genes in '%s' have a token but no median and are left out, e.g. %s",
            len(genes) - len(known),
            len(genes),
            source,
            next(gene for gene in genes if gene not in medians),
        )
    return {
        "token_ids": {gene: tokens[gene] for gene in known},
        "medians": {gene: medians[gene] for gene in known},
        "symbols": symbols,
        "num_tokens": len(tokens),
        **{key: tokens.get(mark) for key, mark in SPECIAL.items()},
    }
