import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg.loader.token_batch import TokenBatch
from stofm_pyg.models.cell_encoder.model import CellEncoder
from stofm_pyg.train.objectives.contrastive_cells import ContrastiveCells
from stofm_pyg.train.objectives.masked_gene_modelling import MaskedGeneModelling


class DomainAdaptation(torch.nn.Module):
    r"""A cell encoder together with the two objectives that adapt it to the slices at hand, which share
    one forward pass (the gene scale of `"SToFM" <https://arxiv.org/abs/2507.11588>`_):

    .. math::
        \mathcal{L} = w_{mgm} \mathcal{L}_{mgm} + w_{con} \mathcal{L}_{con}

    Both losses are in nats and start near the logarithm of a number of choices, so that weights of one
    make them of one size.

    Args:
        encoder (CellEncoder): The encoder, with a head for masked genes.
        mgm (MaskedGeneModelling): Masked gene modelling, on all views.
        contrastive (ContrastiveCells): The contrastive loss of the pooled embeddings, between two views;
            of their differences from the mean of the batch, as embeddings share a large mean.
        mgm_weight (float, optional): :math:`w_{mgm}`. (default: :obj:`1.0`)
        contrastive_weight (float, optional): :math:`w_{con}`; zero is masked gene modelling alone.
            (default: :obj:`1.0`)

    Raises:
        ValueError: If weights are negative or both zero, or the encoder has no head.
    """

    def __init__(
        self,
        encoder: CellEncoder,
        mgm: MaskedGeneModelling,
        contrastive: ContrastiveCells,
        mgm_weight: float = 1.0,
        contrastive_weight: float = 1.0,
    ):
        super().__init__()
        if min(mgm_weight, contrastive_weight) < 0 or mgm_weight + contrastive_weight == 0:
            raise ValueError(
                f"Weights must not be negative, nor both be zero (got {mgm_weight} and "
                f"{contrastive_weight})"
            )
        if encoder.gene_head is None:
            raise ValueError(
                "The encoder has no head for masked genes; make or read it with 'gene_head=True'"
            )
        self.encoder = encoder
        self.mgm = mgm
        self.contrastive = contrastive
        self.mgm_weight = mgm_weight
        self.contrastive_weight = contrastive_weight

    def forward(self, batch: TokenBatch) -> dict[str, Tensor]:
        r"""Returns the losses as :obj:`"mgm"` and, of two views, :obj:`"contrastive"`, their weighted
        sum as :obj:`"loss"`, and the share of masked genes that were found as :obj:`"accuracy"`."""
        states = self.states(batch)
        mgm, accuracy = self.mgm(states, batch.labels, self.encoder.gene_head, self.embedding)
        losses = {"mgm": mgm, "accuracy": accuracy.detach(), "loss": self.mgm_weight * mgm}
        if batch.num_views == 2 and self.contrastive_weight > 0:
            pooled = self.pooled(states, batch)
            first, second = (pooled - pooled.mean(dim=0)).chunk(2)
            losses["contrastive"] = self.contrastive(first, second)
            losses["loss"] = losses["loss"] + self.contrastive_weight * losses["contrastive"]
        return losses

    def states(self, batch: TokenBatch) -> Tensor:
        r"""Returns the states :math:`(T, C)` of all tokens."""
        return self.encoder.hidden_states(batch.tokens, batch.lengths)

    def pooled(self, states: Tensor, batch: TokenBatch) -> Tensor:
        r"""Returns the embeddings :math:`(B, C_{out})`, of length one, of all rows from the states of
        their tokens :math:`(T, C)`."""
        return F.normalize(self.encoder.proj(states[batch.ptr[:-1]]), dim=-1)

    @property
    def embedding(self) -> Tensor:
        r"""The embeddings of all tokens :math:`(V, C)`."""
        return self.encoder.bert.get_input_embeddings().weight
