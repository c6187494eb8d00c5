from pathlib import Path

from stofm_pyg.data import GeneVocab
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.models.cell_encoder.start import spread_embeddings

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
