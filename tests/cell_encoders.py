"""Small cell encoders and cells for them."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from stofm_pyg.data import CellTokens
from stofm_pyg.models.cell_encoder.model import CellEncoder

GOLDEN = Path(__file__).parent / "golden"
RAGGED = (5, 1, 9, 5, 3, 9, 1, 12, 5, 7)


def make_encoder(seed=0, vocab_size=20, **kwargs):
    """No weight is what a new model has, so that each of them matters."""
    torch.manual_seed(seed)
    options = {"hidden_channels": 16, "num_layers": 3, "heads": 2, "ffn_channels": 24, "max_length": 16}
    encoder = CellEncoder(vocab_size, **{**options, "out_channels": 6, "dropout": 0.0, **kwargs})
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return encoder.eval()


def make_cells(lengths=RAGGED, seed=0, vocab_size=20, fingerprint=None):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(2, vocab_size, (sum(lengths),), generator=generator)
    ptr = torch.tensor([0, *lengths]).cumsum(0)
    tokens[ptr[:-1]] = vocab_size - 1
    return CellTokens(tokens, ptr, fingerprint)


def make_profiles(lengths, seed=0):
    """As `make_cells`, with CLS (19) at the beginning of a cell alone."""
    cells = make_cells(lengths, seed)
    cells.tokens[cells.tokens == 19] = 18
    cells.tokens[cells.ptr[:-1]] = 19
    return cells


def transformers_states(encoder, cell_tokens, padded_to=None):
    """States and mask of the padded batch, by transformers alone."""
    length = padded_to or int(cell_tokens.lengths.max())
    tokens = torch.zeros(len(cell_tokens), length, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    for i in range(len(cell_tokens)):
        cell = cell_tokens[i]
        tokens[i, : len(cell)], mask[i, : len(cell)] = cell, 1
    return encoder.bert(tokens, mask).last_hidden_state, mask.bool()


def transformers_embedding(encoder, cell_tokens):
    states, _ = transformers_states(encoder, cell_tokens)
    return torch.nn.functional.normalize(encoder.proj(states[:, 0]), dim=-1)


def write_golden(directory):
    """Writes the official encoder of `golden/` as the official code does; returns its cells and what
    the official code made of them."""
    tensors = load_file(GOLDEN / "cell_encoder.safetensors")
    (directory / "cell_bert").mkdir(parents=True)
    config = json.loads((GOLDEN / "cell_encoder.json").read_text())
    (directory / "cell_bert" / "config.json").write_text(json.dumps(config))
    state = {key[5:]: value for key, value in tensors.items() if key.startswith("bert.")}
    save_file(state, directory / "cell_bert" / "model.safetensors", {"format": "pt"})
    proj = {key[5:]: value for key, value in tensors.items() if key.startswith("proj.")}
    torch.save(proj, directory / "cell_proj.bin")
    return CellTokens(tensors["in.tokens"], tensors["in.ptr"]), tensors["out.embedding"]
