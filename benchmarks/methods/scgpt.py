import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from benchmarks.methods.peer import Peer, encode_tokens
from benchmarks.peers._value_bins import NUM_BINS, value_bins
from benchmarks.peers.checkpoint import check_system, find_file, load_state, read_state
from benchmarks.peers.masked_values import MaskedValues
from benchmarks.peers.panel import panel_vocab, variable_genes
from benchmarks.peers.scgpt import ScGPTModel, embed_cells, to_our_names
from benchmarks.peers.slice_cells import SliceCells
from stofm_pyg.data import CellTokens, GeneVocab
from stofm_pyg.loader import TokenBatch, TokenBatches

# Of a whole transcriptome, the genes that are published for embedding; a panel is taken whole.
MAX_GENES = 1200
# What the published file has for other tasks: which values are asked for, batches, labels.
UNUSED = ("flag_encoder.*", "batch_encoder.*", "bn.*", "dsbn.*", "cls_decoder.*")


class ScGPT(Peer):
    r"""`"scGPT" <https://doi.org/10.1038/s41592-024-02201-0>`_: genes and binned values of a cell go
    through a transformer that predicts hidden values; the embedding is the state of CLS, of length one.

    Published weights are a folder with :obj:`best_model.pt`, :obj:`vocab.json` and, where heads are not
    eight, :obj:`args.json`. See :class:`Peer` for arguments.
    """

    presets = {
        "tiny": {
            "sizes": {"channels": 32, "num_layers": 2, "heads": 2, "ffn_channels": 32, "dropout": 0.1},
            "steps": 60, "max_tokens": 2048, "max_length": 128, "lr": 5e-3,
        },
        "small": {
            "sizes": {"channels": 64, "num_layers": 3, "heads": 4, "ffn_channels": 64, "dropout": 0.1},
            "steps": 300, "max_tokens": 4096, "max_length": 300, "lr": 2e-3,
        },
        "paper": {"sizes": {}, "steps": 10_000, "max_tokens": 65_536, "max_length": 1200, "lr": 1e-4},
    }  # fmt: skip

    def fit(self, slices: Sequence[SliceCells], seed: int, device: torch.device) -> MaskedValues:
        r"""Trains a model from scratch on some slices."""
        columns = variable_genes([part.counts for part in slices], MAX_GENES)
        self.vocab = panel_vocab(slices[0].adata.var_names[columns])
        model = ScGPTModel(len(self.vocab), **self.values["sizes"])
        task = MaskedValues(model, self.vocab.cls_token_id, self.vocab.pad_token_id).to(device)
        with torch.no_grad():
            # Bins of a cell are about evenly filled, so that this is the best constant prediction.
            model.decoder.fc[-1].bias.fill_(NUM_BINS / 2)
        cells = CellTokens.concat([self.tokens(part) for part in slices])
        cells = cells[cells.lengths > 0]
        sample = SampleGenes(self.values["max_length"])
        batches = TokenBatches(cells, self.values["max_tokens"], sample, seed=seed)
        self.train(task, batches, seed)
        return task

    def load(self, slices: Sequence[SliceCells]) -> MaskedValues:
        r"""Reads the model of :attr:`checkpoint`."""
        folder = Path(self.checkpoint).expanduser()
        path = find_file(folder, ("best_model.pt", "*.pt", "*.safetensors"), "weights of scGPT")
        state = to_our_names(read_state(path)[0])
        check_system(state, "scGPT", path)
        args = json.loads((folder / "args.json").read_text()) if (folder / "args.json").exists() else {}
        model = ScGPTModel.like(state, str(path), int(args.get("nheads", 8)))
        load_state(model, state, path, UNUSED)
        self.vocab = read_vocab(find_file(folder, ("vocab.json",), "vocabulary of scGPT"))
        if len(self.vocab) > model.encoder.embedding.num_embeddings:
            raise ValueError(
                f"'{folder}' has a vocabulary of {len(self.vocab)} tokens and weights of "
                f"{model.encoder.embedding.num_embeddings}; pass files of one checkpoint"
            )
        return MaskedValues(model, self.vocab.cls_token_id, self.vocab.pad_token_id)

    def encode(self, model: MaskedValues, part: SliceCells, device: torch.device) -> Tensor:
        r"""Embeds the cells of a slice :math:`(N, D)`."""
        # Of a cell with more genes than fit, the same random ones each time.
        sample, generator = SampleGenes(self.values["max_length"]), Generator().manual_seed(0)
        every = self.tokens(part)
        batch = sample(TokenBatch.take(every, torch.arange(len(every))), generator)
        cells = CellTokens(batch.tokens, batch.ptr)
        return encode_tokens(lambda b: embed_cells(model.model, *model.rows(b)), cells, device)

    def tokens(self, part: SliceCells) -> CellTokens:
        r"""Each gene of a cell that has a count, with its bin, as one number."""
        counts, tokens = part.counts_of(self.vocab)
        bins = value_bins(counts)
        codes = tokens[bins.indices] * NUM_BINS + bins.data
        return CellTokens(torch.from_numpy(codes), torch.from_numpy(bins.indptr.astype(np.int64)))


class SampleGenes:
    r"""Keeps random genes of cells that have more than so many, in their order.

    Args:
        max_length (int): The most tokens of a cell, the one before its genes included.
    """

    def __init__(self, max_length: int):
        self.max_genes = max_length - 1

    def __call__(self, batch: TokenBatch, generator: Generator) -> TokenBatch:
        r"""Returns the batch with fewer genes."""
        every = torch.ones_like(batch.tokens, dtype=torch.bool)
        keep = batch.random_ranks(every, generator) < self.max_genes
        return replace(batch, tokens=batch.tokens[keep], lengths=batch.count(keep))


def read_vocab(path: Path) -> GeneVocab:
    r"""Reads the vocabulary of scGPT: symbols, and tokens in angle brackets.

    Raises:
        ValueError: If it is no such file.
    """
    try:
        tokens = {str(name): int(token) for name, token in json.loads(path.read_text()).items()}
        special = {name: tokens.pop(f"<{name}>") for name in ("pad", "cls", "eoc")}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"'{path}' is no vocabulary of scGPT ({error!r})") from error
    return GeneVocab(
        tokens,
        dict.fromkeys(tokens, 1.0),
        pad_token_id=special["pad"],
        mask_token_id=special["eoc"],  # None of its tokens stands for a masked gene.
        cls_token_id=special["cls"],
    )
