import time
from collections.abc import Callable
from pathlib import Path

import torch
from anndata import AnnData
from torch_geometric.data import Data

from benchmarks.encoder_preset import EncoderPreset
from benchmarks.principal_features import principal_features
from benchmarks.slice_source import SliceSource
from stofm_pyg.commands.read_cells import read_vocab
from stofm_pyg.data import CellTokens, GeneVocab, RankValueTokenizer
from stofm_pyg.models import CellEncoder
from stofm_pyg.train import AdaptationSettings, adapt_cell_encoder

VOCAB = "vocab.json"


class TokenFeatures:
    r"""Features by way of the genes of a cell: counts become ranked tokens, a cell encoder that is
    adapted to the very slices without labels, and then frozen, makes embeddings of these, and their
    principal components, centred in each slice, are the features.

    Args:
        source (SliceSource): The slices.
        preset (EncoderPreset): The size of the encoder and its adaptation.
        vocab (str, optional): What :meth:`~stofm_pyg.commands.read_cells.read_vocab` takes. If
            :obj:`None`, that of :obj:`cell_encoder`, else one of the slices. (default: :obj:`None`)
        cell_encoder (str, optional): The folder of an adapted encoder, which is taken as it is.
            (default: :obj:`None`)
        device (torch.device, optional): Where to adapt and encode. (default: :obj:`"cpu"`)

    Raises:
        FileNotFoundError: The folder is none of an encoder, or is without a vocabulary.
        ValueError: Too few genes match, counts are not raw, or vocabulary and encoder do not fit.
    """

    def __init__(
        self,
        source: SliceSource,
        preset: EncoderPreset,
        vocab: str | None = None,
        cell_encoder: str | None = None,
        device: torch.device | None = None,
    ):
        self.source = source
        self.preset = preset
        self.device = device or torch.device("cpu")
        self.encoder = None
        max_length = preset.max_length
        if cell_encoder is not None:
            self.encoder = CellEncoder.from_pretrained(cell_encoder).to(self.device).eval()
            max_length = self.encoder.max_length
            vocab = vocab or _vocab_beside(cell_encoder)
        self.vocab = read_vocab(vocab or "slices", source.counts, source.layer)
        if self.encoder is not None:
            self.encoder.check_vocab(self.vocab)
        self.tokens = _tokens(source, self.vocab, max_length)
        #: How long the last features took.
        self.seconds = 0.0
        self._made: tuple[int, list[Data]] | None = None

    def work(self) -> int:
        r"""The number of steps of the progress bar that features of one seed take."""
        return 1 if self.encoder is not None else self.preset.num_steps

    def slices(self, seed: int, on_step: Callable[[int], None], writer) -> list[Data]:
        r"""The slices with these features, made once for a seed: rows that follow share them.

        Args:
            seed (int): The seed of the encoder's weights and of its adaptation.
            on_step (Callable): Called with the number of steps done.
            writer (SummaryWriter): Takes the curves of the adaptation.
        """
        if self._made is None or self._made[0] != seed:
            before = time.perf_counter()
            encoder = self.encoder or self._adapted(seed, on_step, writer)
            x = [encoder.encode(tokens).numpy() for tokens in self.tokens]
            made = principal_features(self.source.with_features(x), self.preset.num_features)
            if self.encoder is not None:
                on_step(1)
            self.seconds = time.perf_counter() - before
            self._made = (seed, made)
        return self._made[1]

    def _adapted(self, seed: int, on_step: Callable[[int], None], writer) -> CellEncoder:
        preset = self.preset
        settings = AdaptationSettings(
            num_steps=preset.num_steps,
            max_tokens=preset.max_tokens,
            lr=preset.lr,
            contrastive_weight=preset.contrastive_weight,
            temperature=preset.temperature,
            seed=seed,
        )

        def report(step: int, scalars: dict[str, float]):
            on_step(1)
            if step == 1 or step % 10 == 0 or step == preset.num_steps:
                for name, value in scalars.items():
                    writer.add_scalar(f"adaptation/{name}", value, step)

        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            encoder = preset.make(self.vocab).to(self.device)
            cells = CellTokens.concat(self.tokens)
            adapt_cell_encoder(encoder, cells, self.vocab, settings, on_step=report)
        return encoder.eval()


def _vocab_beside(cell_encoder: str) -> str:
    path = Path(cell_encoder).expanduser() / VOCAB
    if not path.is_file():
        raise FileNotFoundError(
            f"--cell-encoder {cell_encoder} has no '{VOCAB}' beside its weights; name the vocabulary "
            f"that it was trained with by --vocab"
        )
    return str(path)


def _tokens(source: SliceSource, vocab: GeneVocab, max_length: int) -> list[CellTokens]:
    tokenizer, out = RankValueTokenizer(vocab, max_length), []
    for adata in source.counts:
        try:
            out.append(tokenizer(adata, source.layer))
        except ValueError as error:
            name = "generated tissue" if isinstance(adata, AnnData) else f"'{adata}'"
            raise ValueError(f"In {name}: {error}") from error
    return out
