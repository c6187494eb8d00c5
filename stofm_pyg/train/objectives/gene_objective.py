import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

from stofm_pyg.data import CellTokens
from stofm_pyg.loader import MaskGenes, SubsampleGenes, TokenBatch
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.models.joint_model import batch_tokens
from stofm_pyg.nn import SliceEncoderOutput
from stofm_pyg.train.objectives.contrastive_cells import ContrastiveCells
from stofm_pyg.train.objectives.domain_adaptation import DomainAdaptation
from stofm_pyg.train.objectives.masked_gene_modelling import MaskedGeneModelling


class GeneObjective(torch.nn.Module):
    r"""An objective of the gene scale beside those of the slice: masked gene modelling or the
    contrastive loss, on some random cells of each subpatch (see :class:`DomainAdaptation`).

    The encoder is that of the model; its parameters are not listed a second time.

    Args:
        encoder (CellEncoder): The encoder, with a head for masked genes.
        mask (MaskGenes): What masks genes.
        subsample (SubsampleGenes): What makes views.
        contrastive (bool): The contrastive loss, else masked gene modelling.
        num_cells (int, optional): The number of cells. (default: :obj:`64`)
        temperature (float, optional): That of the contrastive loss. (default: :obj:`0.05`)
    """

    def __init__(
        self,
        encoder: CellEncoder,
        mask: MaskGenes,
        subsample: SubsampleGenes,
        contrastive: bool,
        num_cells: int = 64,
        temperature: float = 0.05,
    ):
        super().__init__()
        self.mask, self.subsample = mask, subsample
        self.contrastive = contrastive
        self.num_cells = num_cells
        adaptation = DomainAdaptation(
            encoder,
            MaskedGeneModelling(encoder.vocab_size, mask.gene_tokens),
            ContrastiveCells(temperature),
            mgm_weight=float(not contrastive),
            contrastive_weight=float(contrastive),
        )
        self._adaptation = [adaptation]  # A list, as the encoder is a part of the model already.

    def count(self, batch: Data) -> int:
        r"""Returns the number of cells that the loss is a mean over."""
        return min(self.num_cells, int(batch.lengths.numel()))

    def forward(self, output: SliceEncoderOutput, batch: Data) -> Tensor:
        r"""Returns the loss of a batch, with random numbers from torch's global generator."""
        (adaptation,) = self._adaptation
        device = output.x.device
        adaptation.mgm.to(device)
        cells = batch_tokens(batch).truncate(adaptation.encoder.max_length)
        seed = int(torch.randint(2**31, ()))
        views = self._views(cells, Generator().manual_seed(seed))
        return adaptation(views.to(device))["contrastive" if self.contrastive else "mgm"]

    def _views(self, cells: CellTokens, generator: Generator) -> TokenBatch:
        chosen = torch.randperm(len(cells), generator=generator)[: self.num_cells]
        batch = TokenBatch.take(cells, chosen)
        count = 2 if self.contrastive else 1
        views = [self.mask(self.subsample(batch, generator), generator) for _ in range(count)]
        return TokenBatch.stack(views)

    def __repr__(self) -> str:
        kind = "contrastive" if self.contrastive else "mgm"
        return f"{self.__class__.__name__}({kind}, num_cells={self.num_cells})"
