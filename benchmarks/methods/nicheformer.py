from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import torch
from anndata.io import read_elem
from torch import Tensor

from benchmarks.methods.peer import Peer, encode_tokens
from benchmarks.peers._gene_means import gene_means
from benchmarks.peers.checkpoint import check_system, find_file, load_state, read_state
from benchmarks.peers.nicheformer import (
    CLS,
    FIRST_GENE,
    MASK,
    NUM_CONTEXT,
    PAD,
    NicheformerModel,
    RankedGenes,
)
from benchmarks.peers.slice_cells import SliceCells
from stofm_pyg.data import CellTokens, GeneVocab, RankValueTokenizer
from stofm_pyg.loader import MaskGenes, TokenBatches

# Heads of other tasks, and a copy of the first layer that is never called.
UNUSED = ("encoder_layer.*", "pooler_head.*", "cls_head.*")


class Nicheformer(Peer):
    r"""`"Nicheformer" <https://doi.org/10.1038/s41592-025-02814-z>`_: the genes of a cell, ranked after
    division by their means in the technology, through a transformer that predicts masked ones; the
    embedding is the mean over the genes.

    Published weights are a folder with the :obj:`.ckpt`, with :obj:`model.h5ad`, whose genes are in the
    order of the tokens, and with :obj:`ASSAY_mean_script.npy`, their means; without that file, the means
    of the slices are taken.

    Args:
        assay (str, optional): The technology, :obj:`"merfish"`, :obj:`"cosmx"` or :obj:`"xenium"`; from
            scratch it makes no difference. (default: :obj:`"merfish"`)
        **kwargs (optional): See :class:`Peer`.
    """

    presets = {
        "tiny": {
            "sizes": {
                "channels": 32, "num_layers": 2, "heads": 2, "ffn_channels": 64, "context_length": 128,
            },
            "steps": 60, "max_tokens": 2048, "lr": 5e-3,
        },
        "small": {
            "sizes": {
                "channels": 64, "num_layers": 3, "heads": 4, "ffn_channels": 128, "context_length": 300,
            },
            "steps": 300, "max_tokens": 4096, "lr": 2e-3,
        },
        "paper": {"sizes": {}, "steps": 10_000, "max_tokens": 65_536, "lr": 1e-4},
    }  # fmt: skip

    def __init__(
        self,
        preset: str = "small",
        device: str = "auto",
        checkpoint: str | None = None,
        assay: str = "merfish",
    ):
        super().__init__(preset, device, checkpoint)
        self.assay = assay

    def fit(self, slices: Sequence[SliceCells], seed: int, device: torch.device) -> RankedGenes:
        r"""Trains a model from scratch on some slices."""
        names = [str(name) for name in slices[0].adata.var_names]
        self.vocab = gene_vocab(names, gene_means([part.counts for part in slices]))
        model = NicheformerModel(len(self.vocab), **self.values["sizes"])
        task = RankedGenes(model, self.vocab.map(slices[0].adata).species, self.assay).to(device)
        cells = CellTokens.concat([self.tokens(model, part) for part in slices])
        cells = cells[cells.lengths > 0]
        mask = MaskGenes(self.vocab.genes_among(cells.tokens), MASK)
        batches = TokenBatches(cells, self.values["max_tokens"], mask, seed=seed)
        self.train(task, batches, seed)
        return task

    def load(self, slices: Sequence[SliceCells]) -> RankedGenes:
        r"""Reads the model of :attr:`checkpoint`."""
        folder = Path(self.checkpoint).expanduser()
        kinds = ("*.ckpt", "*.pt", "*.safetensors")
        path = find_file(folder, kinds, "weights of Nicheformer")
        state, beside = read_state(path, under="state_dict")
        check_system(state, "Nicheformer", path)
        heads = beside.get("hyper_parameters", {}).get("nheads", 16)
        model = NicheformerModel.like(state, str(path), heads)
        load_state(model, state, path, UNUSED)
        with h5py.File(find_file(folder, ("model.h5ad",), "genes of Nicheformer")) as file:
            names = [str(name) for name in read_elem(file["var"]).index]
        self.vocab = gene_vocab(names, np.ones(len(names)))
        means = folder / f"{self.assay}_mean_script.npy"
        if means.is_file():
            found = np.load(means, allow_pickle=False).reshape(-1).astype(float)
            if len(found) != len(names):
                raise ValueError(
                    f"'{means}' has {len(found)} means for {len(names)} genes; pass the file of the "
                    f"checkpoint"
                )
            found = np.where(found > 0, found, 1.0)
        else:
            found = np.ones(len(names))
            parts, tokens = zip(*(part.counts_of(self.vocab) for part in slices), strict=True)
            found[tokens[0] - FIRST_GENE] = gene_means(parts)
        self.vocab = gene_vocab(names, found)
        if len(self.vocab) > model.embeddings.num_embeddings:
            raise ValueError(
                f"'{folder}' has {len(self.vocab)} tokens and weights of "
                f"{model.embeddings.num_embeddings}; pass files of one checkpoint"
            )
        return RankedGenes(model, self.vocab.map(slices[0].adata).species, self.assay)

    def encode(self, model: RankedGenes, part: SliceCells, device: torch.device) -> Tensor:
        r"""Embeds the cells of a slice :math:`(N, D)`."""
        return encode_tokens(model.embed, self.tokens(model.model, part), device)

    def tokens(self, model: NicheformerModel, part: SliceCells) -> CellTokens:
        r"""The ranked genes of each cell, as many as fit behind the tokens of the context."""
        tokenizer = RankValueTokenizer(self.vocab, model.context_length - NUM_CONTEXT, add_cls=False)
        return tokenizer(part.adata)


def gene_vocab(names: Sequence[str], means: np.ndarray) -> GeneVocab:
    r"""The vocabulary of Nicheformer: genes in their order, after 30 other tokens."""
    return GeneVocab(
        {name: FIRST_GENE + number for number, name in enumerate(names)},
        dict(zip(names, means.tolist(), strict=True)),
        pad_token_id=PAD,
        mask_token_id=MASK,
        cls_token_id=CLS,
    )
