from torch import Generator

from stofm_pyg.data import CellTokens, GeneVocab
from stofm_pyg.loader import MaskGenes, SubsampleGenes, TokenBatch, TokenBatches
from stofm_pyg.models.cell_encoder.cache import hash_tensors
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.train.adaptation.held_out_cells import held_out_batches, split_held_out
from stofm_pyg.train.adaptation.settings import AdaptationSettings
from stofm_pyg.train.objectives.contrastive_cells import ContrastiveCells
from stofm_pyg.train.objectives.domain_adaptation import DomainAdaptation
from stofm_pyg.train.objectives.masked_gene_modelling import MaskedGeneModelling


class AdaptationTask:
    r"""What a cell encoder is adapted to: the cells to train on, those held out, and which genes of the
    latter are masked. The same for the same cells and settings.

    Args:
        cells (CellTokens): The cells, CLS first.
        vocab (GeneVocab): Their vocabulary.
        settings (AdaptationSettings): The settings.

    Raises:
        ValueError: If too few cells have genes enough.
    """

    def __init__(self, cells: CellTokens, vocab: GeneVocab, settings: AdaptationSettings):
        self.vocab, self.settings = vocab, settings
        #: The genes that occur in the cells, as tokens.
        self.gene_tokens = vocab.genes_among(cells.tokens)
        rich = cells.lengths - 1 >= settings.min_genes
        if int(rich.sum()) < 2 or self.gene_tokens.numel() < 2:
            raise ValueError(
                f"Only {int(rich.sum())} of {len(cells)} cells have {settings.min_genes} genes or more "
                f"of the vocabulary; give more cells, or lower 'min_genes'"
            )
        cells = cells[rich]
        train, held = split_held_out(len(cells), settings.held_out, settings.seed)
        self.train, self.held = cells[train], cells[held]
        self.mask = MaskGenes(self.gene_tokens, vocab.mask_token_id, settings.mask_rate)

    def fingerprint(self) -> str:
        r"""A hash of the cells, which a run that goes on must find unchanged."""
        return hash_tensors({"tokens": self.train.tokens, "ptr": self.train.ptr}, {})

    def batches(self, start: int = 0) -> TokenBatches:
        r"""The batches to train on, from a step on."""
        settings = self.settings
        views = 2 if settings.contrastive_weight > 0 else 1
        subsample = SubsampleGenes(settings.min_share, self.vocab.eos_token_id)

        def view(batch: TokenBatch, generator: Generator) -> TokenBatch:
            return self.mask(subsample(batch, generator), generator)

        budget = max(1, settings.max_tokens // views)
        return TokenBatches(self.train, budget, view, views, start, settings.seed)

    def held_out(self) -> list[TokenBatch]:
        r"""The cells held out, with masked genes."""
        settings = self.settings
        return held_out_batches(self.held, self.mask, settings.max_tokens, settings.seed)

    def module(self, encoder: CellEncoder) -> DomainAdaptation:
        r"""An encoder with its objectives, on its device."""
        settings = self.settings
        return DomainAdaptation(
            encoder,
            MaskedGeneModelling(encoder.vocab_size, None if settings.full_softmax else self.gene_tokens),
            ContrastiveCells(settings.temperature),
            settings.mgm_weight,
            settings.contrastive_weight,
        ).to(encoder.proj.weight.device)
