from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg._files import saved_together
from stofm_pyg.data import CellTokens, GeneVocab
from stofm_pyg.models._usable_device import usable_device
from stofm_pyg.models.cell_encoder.cache import EmbeddingCache, hash_tensors
from stofm_pyg.models.cell_encoder.checks import check_tokens, check_vocab
from stofm_pyg.models.cell_encoder.encode import encode_cells
from stofm_pyg.models.cell_encoder.feature_scale import FeatureScale
from stofm_pyg.models.cell_encoder.files import (
    HEAD,
    SCALE,
    read_official,
    read_part,
    save_official,
    save_part,
    save_seal,
)
from stofm_pyg.models.cell_encoder.gene_head import GeneHead
from stofm_pyg.models.cell_encoder.geneformer import fit_vocab, read_bert
from stofm_pyg.models.cell_encoder.packed import PackedCells, first_states, pack_cells, packed_states

if TYPE_CHECKING:
    from transformers import BertModel


class CellEncoder(torch.nn.Module):
    r"""The gene scale of the `"SToFM: a Multi-scale Foundation Model for Spatial Transcriptomics"
    <https://arxiv.org/abs/2507.11588>`_ paper: a BERT over the ranked genes of a cell, as Geneformer is,
    whose state of the CLS token becomes the embedding of the cell by a linear layer and a division by
    its length.

    The defaults are the shape of Geneformer V1. Cells are computed without padding.

    Args:
        vocab_size (int): The number of tokens, :obj:`len(vocab)`.
        hidden_channels (int, optional): Size of a token's state. (default: :obj:`256`)
        num_layers (int, optional): Number of layers. (default: :obj:`6`)
        heads (int, optional): Number of attention heads. (default: :obj:`4`)
        ffn_channels (int, optional): Size of the feed-forward layers. (default: :obj:`512`)
        max_length (int, optional): The most tokens of a cell, CLS included. (default: :obj:`2048`)
        out_channels (int, optional): Size of an embedding. (default: :obj:`256`)
        dropout (float, optional): Dropout of states and attention weights in training.
            (default: :obj:`0.02`)
        act (str, optional): The non-linearity. (default: :obj:`"relu"`)
        gene_head (bool, optional): Adds a :class:`GeneHead` for masked genes. (default: :obj:`False`)
        vocab_fingerprint (str, optional): The fingerprint of the vocabulary; tokens of another one are
            then refused. (default: :obj:`None`)

    Shapes:
        - **input:** the tokens of :math:`N` cells, CLS first, as a :class:`~stofm_pyg.data.CellTokens`
        - **output:** embeddings :math:`(N, C_{out})` of length one, or the features that a
          :class:`FeatureScale` makes of them if there is a :obj:`scale`

    Examples:
        >>> cells = RankValueTokenizer(vocab)(adata)
        >>> encoder = CellEncoder(len(vocab), vocab_fingerprint=vocab.fingerprint)
        >>> encoder.encode(cells).shape
        torch.Size([17136, 256])
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_channels: int = 256,
        num_layers: int = 6,
        heads: int = 4,
        ffn_channels: int = 512,
        max_length: int = 2048,
        out_channels: int = 256,
        dropout: float = 0.02,
        act: str = "relu",
        gene_head: bool = False,
        vocab_fingerprint: str | None = None,
    ):
        super().__init__()
        from transformers import BertConfig, BertModel  # Slow to import.

        config = BertConfig(
            vocab_size=vocab_size,
            hidden_size=hidden_channels,
            num_hidden_layers=num_layers,
            num_attention_heads=heads,
            intermediate_size=ffn_channels,
            max_position_embeddings=max_length,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            hidden_act=act,
            layer_norm_eps=1e-12,
            pad_token_id=0,
            vocab_fingerprint=vocab_fingerprint,
        )
        self._set(BertModel(config, add_pooling_layer=False), out_channels, gene_head)

    def _set(self, bert: BertModel, out_channels: int, gene_head: bool):
        self.bert = bert
        self.proj = torch.nn.Linear(bert.config.hidden_size, out_channels)
        self.gene_head: GeneHead | None = None
        self.scale: FeatureScale | None = None
        if gene_head:
            self._add_head()

    def _add_head(self):
        config = self.bert.config
        self.gene_head = GeneHead(
            config.hidden_size, config.vocab_size, config.hidden_act, config.layer_norm_eps
        )

    @classmethod
    def _from_bert(cls, bert: BertModel, out_channels: int, gene_head: bool) -> CellEncoder:
        encoder = cls.__new__(cls)
        torch.nn.Module.__init__(encoder)
        encoder._set(bert, out_channels, gene_head)
        return encoder

    @classmethod
    def from_official(cls, directory: str | os.PathLike) -> CellEncoder:
        r"""Reads an encoder in the official layout: a directory with :obj:`cell_bert` and
        :obj:`cell_proj.bin`.

        Raises:
            FileNotFoundError: One of them is missing.
            ValueError: Weights are missing, left over, or damaged.
        """
        bert, proj = read_official(directory)
        encoder = cls._from_bert(bert, proj["weight"].size(0), gene_head=False)
        encoder.proj.load_state_dict(proj)
        return encoder

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike) -> CellEncoder:
        r"""Reads an encoder that :meth:`save_pretrained` wrote, with its :class:`GeneHead` and its
        :class:`FeatureScale` if it had them; see :meth:`from_official` for errors."""
        encoder = cls.from_official(directory)
        head, scale = read_part(directory, HEAD), read_part(directory, SCALE)
        try:
            if head is not None:
                encoder._add_head()
                encoder.gene_head.load_state_dict(head)
            if scale is not None:
                encoder.scale = FeatureScale.from_state(scale)
        except (RuntimeError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"'{directory}' is damaged, or its files are of several encoders ({reason}); copy or "
                f"save the encoder again"
            ) from error
        return encoder

    def save_pretrained(self, directory: str | os.PathLike):
        r"""Writes the encoder in the official layout, which transformers and the official code can read,
        and its :class:`GeneHead` and :class:`FeatureScale` to files beside it, as a whole, with hashes
        of all."""
        with saved_together(Path(directory).expanduser(), (HEAD, SCALE)) as part:
            save_official(self.bert, self.proj, part)
            save_part(self.gene_head, part, HEAD)
            save_part(self.scale, part, SCALE)
            save_seal(part)

    @classmethod
    def from_geneformer(
        cls,
        path_or_hub_id: str | os.PathLike,
        vocab: GeneVocab | None = None,
        out_channels: int = 256,
        gene_head: bool = False,
        seed: int = 0,
        **kwargs,
    ) -> CellEncoder:
        r"""Reads the BERT of a Geneformer checkpoint, and makes a pooling layer with random weights.

        Args:
            path_or_hub_id (str or PathLike): A directory that transformers can read, or the id of a
                repository on the Hugging Face hub.
            vocab (GeneVocab, optional): The vocabulary of the tokens to come. If it has one token more
                than the checkpoint, as that of Geneformer V1, which knows no CLS, the embedding of
                that token is random. (default: :obj:`None`)
            out_channels (int, optional): Size of an embedding. (default: :obj:`256`)
            gene_head (bool, optional): Also reads the head for masked genes of the checkpoint, with
                which it was trained; else it is left out. (default: :obj:`False`)
            seed (int, optional): The seed of what is random. (default: :obj:`0`)
            **kwargs (optional): Additional arguments of
                :meth:`transformers.BertModel.from_pretrained`, such as :obj:`subfolder` and
                :obj:`revision`.

        Raises:
            FileNotFoundError: There is neither such a directory nor such a repository.
            ValueError: It holds no BERT, weights are missing, or the vocabulary does not fit.
        """
        bert, head = read_bert(path_or_hub_id, gene_head, **kwargs)
        if vocab is not None:
            fit_vocab(bert, head, vocab, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = cls._from_bert(bert, out_channels, gene_head)
        if head is not None:
            encoder.gene_head.load_state_dict(head)
        return encoder

    @property
    def vocab_size(self) -> int:
        r"""The number of tokens."""
        return self.bert.config.vocab_size

    @property
    def max_length(self) -> int:
        r"""The most tokens of a cell."""
        return self.bert.config.max_position_embeddings

    @property
    def out_channels(self) -> int:
        r"""Size of an embedding, after the scale if there is one."""
        return self.proj.out_features if self.scale is None else self.scale.num_features

    @property
    def vocab_fingerprint(self) -> str | None:
        r"""The fingerprint of the vocabulary, where known."""
        return getattr(self.bert.config, "vocab_fingerprint", None)

    def check_vocab(self, vocab: GeneVocab) -> None:
        r"""Checks that the encoder was made for a vocabulary.

        Raises:
            ValueError: If it has another number of tokens, or is known to be another one.
        """
        check_vocab(vocab, self.vocab_size, self.vocab_fingerprint, str(self))

    def hidden_states(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        r"""The state of each token, as a training objective reads it; differentiable, and with dropout
        in training.

        Args:
            tokens (torch.Tensor): The tokens of all cells, one cell after another :math:`(T)`.
            lengths (torch.Tensor): The number of tokens of each cell :math:`(N)`.

        Returns:
            The states :math:`(T, C)`, in the order of the tokens.

        Raises:
            ValueError: A token is outside the vocabulary, or a cell has no token or too many.
        """
        cell_tokens = CellTokens(tokens.cpu(), F.pad(lengths.cpu().cumsum(0), (1, 0)))
        tokens, cells = self._pack(cell_tokens)
        return packed_states(self.bert, tokens, cells)[cells.index.argsort()]

    def gene_logits(self, states: Tensor) -> Tensor:
        r"""What the :class:`GeneHead` makes of the states of masked tokens :math:`(M, C)`: the logits of
        all tokens :math:`(M, V)`.

        Raises:
            ValueError: If the encoder has no such head.
        """
        if self.gene_head is None:
            raise ValueError("This encoder has no head for masked genes; make it with 'gene_head=True'")
        return self.gene_head(states, self.bert.embeddings.word_embeddings.weight)

    def forward(self, cell_tokens: CellTokens) -> Tensor:
        r"""Embeds cells :math:`(N, C_{out})`, differentiably, all in one batch; see :meth:`encode` for
        many, and for errors."""
        tokens, cells = self._pack(cell_tokens)
        first = first_states(self.bert, tokens, cells)[cells.cells.argsort()]
        return self._scaled(F.normalize(self.proj(first), dim=-1))

    def encode(
        self,
        cell_tokens: CellTokens,
        token_budget: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        progress: bool = False,
        cache: str | os.PathLike | None = None,
    ) -> Tensor:
        r"""Embeds many cells, for inference: without dropout and without gradients.

        In single precision an embedding does not depend on the batch that it was computed in, up to
        rounding (1e-5).

        Args:
            cell_tokens (CellTokens): The tokens of the cells.
            token_budget (int, optional): The largest number of tokens of a batch. If :obj:`None`, it is
                chosen for the device. (default: :obj:`None`)
            device (torch.device or str, optional): Where to compute; if :obj:`None`, where the encoder
                is. (default: :obj:`None`)
            dtype (torch.dtype, optional): In what to compute, *e.g.*, :obj:`torch.bfloat16` on a GPU; if
                :obj:`None`, in the type of the weights. (default: :obj:`None`)
            progress (bool, optional): Show a progress bar. (default: :obj:`False`)
            cache (str or PathLike, optional): A directory in which embeddings are kept, and from which
                those of the same tokens by the same weights, on the same kind of device and in the same
                type, are read. (default: :obj:`None`)

        Returns:
            The embeddings :math:`(N, C_{out})`, float32, on the CPU, in the order of the cells.

        Raises:
            ValueError: The tokens are of another vocabulary, a token is outside the vocabulary, or a
                cell has no token or too many.
        """
        self._check(cell_tokens)
        device = usable_device(self.proj.weight.device if device is None else device)
        dtype = dtype or self.proj.weight.dtype

        def compute() -> Tensor:
            args = (device, dtype, token_budget, progress)
            return self._scaled(encode_cells(self.bert, self.proj, cell_tokens, *args))

        if cache is None:
            return compute()
        tensors = {"tokens": cell_tokens.tokens, "ptr": cell_tokens.ptr}
        settings = {"encoder": self.fingerprint(), "device": device.type, "dtype": str(dtype)}
        kept = EmbeddingCache(cache, hash_tensors(tensors, settings))
        return kept.load_or_make((len(cell_tokens), self.out_channels), compute)

    def fingerprint(self) -> str:
        r"""A hash of all that an embedding depends on beside the tokens."""
        tensors = {}
        for name in ("bert", "proj", "scale"):
            module = getattr(self, name)
            state = {} if module is None else module.state_dict()
            tensors |= {f"{name}.{key}": value for key, value in state.items()}
        names = ("hidden_act", "num_attention_heads", "layer_norm_eps")
        return hash_tensors(tensors, {name: getattr(self.bert.config, name) for name in names})

    def _check(self, cell_tokens: CellTokens):
        check_tokens(cell_tokens, self.vocab_size, self.max_length, self.vocab_fingerprint)

    def _pack(self, cell_tokens: CellTokens) -> tuple[Tensor, PackedCells]:
        self._check(cell_tokens)
        device = self.proj.weight.device
        cells = pack_cells(cell_tokens.ptr)
        return cell_tokens.tokens[cells.index].to(device), cells.to(device)

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.scale is None else self.scale(x)

    def __repr__(self) -> str:
        config = self.bert.config
        return (
            f"{self.__class__.__name__}({config.vocab_size}, {config.hidden_size}, "
            f"num_layers={config.num_hidden_layers}, heads={config.num_attention_heads}, "
            f"out_channels={self.out_channels})"
        )
