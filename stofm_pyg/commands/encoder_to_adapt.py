from pathlib import Path

import torch

from stofm_pyg.data import GeneVocab
from stofm_pyg.models.cell_encoder import CellEncoder

#: Sizes of an encoder from scratch; "paper" is the shape of Geneformer V1.
PRESETS = {
    "tiny": {
        "hidden_channels": 32,
        "num_layers": 2,
        "heads": 2,
        "ffn_channels": 64,
        "max_length": 128,
        "out_channels": 32,
    },
    "small": {
        "hidden_channels": 128,
        "num_layers": 3,
        "heads": 4,
        "ffn_channels": 256,
        "max_length": 512,
        "out_channels": 128,
    },
    "paper": {
        "hidden_channels": 256,
        "num_layers": 6,
        "heads": 4,
        "ffn_channels": 512,
        "max_length": 2048,
        "out_channels": 256,
    },
}


def encoder_to_adapt(init: str, preset: str, vocab: GeneVocab, seed: int) -> CellEncoder:
    r"""Returns the encoder that adaptation begins with, with a head for masked genes.

    Args:
        init (str): :obj:`"scratch"`, the folder of an encoder that was saved by
            :meth:`CellEncoder.save_pretrained`, or the folder or hub id of a Geneformer.
        preset (str): The size of an encoder from scratch, whose weights come from torch's global
            generator.
        vocab (GeneVocab): The vocabulary.
        seed (int): The seed of what a Geneformer lacks.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The checkpoint has no head for masked genes, or is of another vocabulary.
    """
    if init == "scratch":
        sizes = PRESETS[preset]
        encoder = CellEncoder(
            len(vocab), **sizes, gene_head=True, vocab_fingerprint=vocab.fingerprint
        )
        spread_embeddings(encoder)
        return encoder
    if (Path(init).expanduser() / "cell_bert").is_dir():
        encoder = CellEncoder.from_pretrained(init)
        if encoder.gene_head is None:
            raise ValueError(
                f"'{init}' has no head for masked genes; begin with a folder that 'adapt' wrote, or "
                f"with a Geneformer"
            )
    else:
        encoder = CellEncoder.from_geneformer(init, vocab, gene_head=True, seed=seed)
    encoder.check_vocab(vocab)
    return encoder


@torch.no_grad()
def spread_embeddings(encoder: CellEncoder, std: float = 0.1):
    r"""Begins with larger embeddings than BERT's, and with positions as sinusoids (`"Attention Is All
    You Need" <https://arxiv.org/abs/1706.03762>`_).

    A masked gene lies between its neighbours in rank, and which positions are neighbours would otherwise
    have to be learned for each. The loss of a small encoder falls much sooner in this way.

    Args:
        encoder (CellEncoder): The encoder, changed in place.
        std (float, optional): The standard deviation of embeddings. (default: :obj:`0.1`)
    """
    embeddings = encoder.bert.embeddings
    words, positions = embeddings.word_embeddings, embeddings.position_embeddings.weight
    torch.nn.init.normal_(words.weight, std=std)
    if words.padding_idx is not None:
        words.weight[words.padding_idx] = 0.0
    num_positions, channels = positions.shape
    frequency = 1000 ** -(torch.arange(0, channels, 2) / channels)
    angle = torch.arange(num_positions)[:, None] * frequency
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)[:, :channels]
    positions.copy_(std * 2**0.5 * waves)
