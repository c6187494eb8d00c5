from collections import Counter
from typing import Any

import pandas as pd
from anndata import AnnData

from stofm_pyg.data import GeneVocab, SliceSettings
from stofm_pyg.data.genes.names import column_names, gene_kind, without_genome

NUM_EXAMPLES, NUM_MISSED = 3, 10
# Fewer are out of the ordinary.
FEW_GENES = 50


def describe_genes(var: pd.DataFrame, warnings: list[str]) -> dict[str, Any]:
    r"""Returns how genes are named.

    Args:
        var (DataFrame): A row for each gene.
        warnings (list[str]): Takes what is out of the ordinary.
    """
    names = [str(name) for name in var.index]
    plain, genomes = without_genome(names)
    kinds = [gene_kind(name) for name in plain]
    naming = Counter(kind.naming for kind in kinds).most_common(1)
    species = Counter(kind.species for kind in kinds if kind.species).most_common(1)
    repeated = len(names) - len(set(names))
    if len(names) < FEW_GENES:
        warnings.append(f"There are {len(names)} genes only")
    if repeated:
        warnings.append(f"{repeated:,} names of genes are there more than once")
    if len(genomes) > 1:
        warnings.append(f"Genes are of several genomes: {', '.join(genomes)}")
    others = {
        label.removeprefix("adata.var['").removesuffix("']"): gene_kind(column[0]).naming
        for label, column in column_names(AnnData(var=var)).items()
        if label != "adata.var_names" and column
    }
    return {
        "naming": naming[0][0] if naming else None,
        "species": species[0][0] if species else None,
        "genome": genomes[0] if len(genomes) == 1 else None,
        "examples": names[:NUM_EXAMPLES],
        "repeated": repeated,
        "other_columns": others,
    }


def match_genes(
    sample: AnnData, vocab: GeneVocab, settings: SliceSettings, warnings: list[str]
) -> dict[str, Any]:
    r"""Returns which genes are in a vocabulary.

    Args:
        sample (AnnData): Some cells with all genes.
        vocab (GeneVocab): The vocabulary.
        settings (SliceSettings): With the table of mouse genes and their human genes.
        warnings (list[str]): Takes what is out of the ordinary.
    """
    try:
        mapping = vocab.map(sample, orthologues=settings.orthologues, min_share=0.0)
    except ValueError as error:
        warnings.append(f"No gene is in the vocabulary: {error}")
        missed = [str(name) for name in sample.var_names]
        return {"matched": 0, "share_counts": 0.0, "not_matched": missed[:NUM_MISSED]}
    warnings += [line for line in mapping.report.splitlines() if line.startswith("Warning")]
    return {
        "matched": len(mapping.columns),
        "share_counts": mapping.share_counts,
        "not_matched": mapping.unmatched[:NUM_MISSED],
    }
