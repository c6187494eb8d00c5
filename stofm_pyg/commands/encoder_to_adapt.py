from dataclasses import asdict
from pathlib import Path

from stofm_pyg.data import GeneVocab
from stofm_pyg.models import CellEncoder
from stofm_pyg.models.cell_encoder import keep_angles, spread_embeddings
from stofm_pyg.train import PRESETS


def encoder_to_adapt(init: str, preset: str, vocab: GeneVocab, seed: int) -> CellEncoder:
    r"""Returns the encoder that adaptation begins with, with a head for masked genes.

    Args:
        init (str): :obj:`"scratch"`, the folder of an encoder that was saved by
            :meth:`CellEncoder.save_pretrained`, or the folder or hub id of a Geneformer.
        preset (str): The name of the pre-training preset that says the sizes of an encoder from scratch,
            whose weights come from torch's global generator.
        vocab (GeneVocab): The vocabulary.
        seed (int): The seed of what a Geneformer lacks.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The checkpoint has no head for masked genes, or is of another vocabulary.
    """
    if init == "scratch":
        sizes = asdict(PRESETS[preset].cell_encoder)
        fingerprint = vocab.fingerprint
        encoder = CellEncoder(len(vocab), **sizes, gene_head=True, vocab_fingerprint=fingerprint)
        spread_embeddings(encoder)
        keep_angles(encoder)
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
