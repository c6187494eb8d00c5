import torch
import torch.nn.functional as F
from torch import Tensor

from stofm_pyg.loader.token_batch import IGNORED
from stofm_pyg.models.cell_encoder.gene_head import GeneHead


class MaskedGeneModelling(torch.nn.Module):
    r"""Masked gene modelling (MGM) as in Geneformer (`"Transfer learning enables predictions in network
    biology" <https://doi.org/10.1038/s41586-023-06139-9>`_): which gene was at a masked position?

    Only masked positions go through the head, whose decoder, the table of token embeddings, is as wide
    as the vocabulary.

    With :obj:`tokens`, the softmax runs over these alone. A panel of 300 genes never shows the other
    25,000 of Geneformer; learning that they do not occur costs most of the time, and probabilities
    among those that do are the same. Embeddings and biases of other tokens then stay as they were.

    Args:
        num_tokens (int): The number of tokens of the vocabulary :math:`V`.
        tokens (torch.Tensor, optional): The tokens that can be the answer :math:`(G)`; all if
            :obj:`None`. (default: :obj:`None`)

    Shapes:
        - **input:** states :math:`(*, C)`, labels :math:`(*)` with -100 where nothing is asked, the
          :class:`~stofm_pyg.models.cell_encoder.GeneHead`, and the embeddings of all tokens
          :math:`(V, C)`
        - **output:** the cross-entropy, a scalar in nats, and the share of right answers, a scalar

    Raises:
        ValueError: If :obj:`tokens` are none, or outside the vocabulary.
    """

    def __init__(self, num_tokens: int, tokens: Tensor | None = None):
        super().__init__()
        self.num_tokens = num_tokens
        tokens = torch.arange(num_tokens) if tokens is None else tokens.unique().long()
        if tokens.numel() == 0 or tokens[0] < 0 or tokens[-1] >= num_tokens:
            raise ValueError(
                f"'tokens' must be some of 0 to {num_tokens - 1} (got {tokens.numel()} of them, from "
                f"{tokens[:1].tolist()} to {tokens[-1:].tolist()})"
            )
        place = torch.full((num_tokens,), IGNORED)
        place[tokens] = torch.arange(tokens.numel())
        #: The tokens that can be the answer, rising; column :math:`g` of the logits is the g-th.
        self.register_buffer("tokens", tokens, persistent=False)
        self.register_buffer("place", place, persistent=False)

    def forward(
        self, states: Tensor, labels: Tensor, head: GeneHead, embedding: Tensor
    ) -> tuple[Tensor, Tensor]:
        r"""Runs the forward pass of the module; a batch without a label gives zero for both.

        Raises:
            ValueError: If a label is not among :obj:`tokens`.
        """
        asked = labels != IGNORED
        if not bool(asked.any()):
            return states.sum() * 0.0, states.new_zeros(())
        truth = self.place[labels[asked]]
        if bool((truth == IGNORED).any()):
            odd = labels[asked][truth == IGNORED]
            raise ValueError(
                f"{odd.numel()} masked genes are not among the 'tokens' that can be the answer, e.g. "
                f"token {int(odd[0])}; make 'tokens' from all cells"
            )
        logits = self.logits(states[asked], head, embedding)
        return F.cross_entropy(logits, truth), (logits.argmax(dim=-1) == truth).float().mean()

    def logits(self, states: Tensor, head: GeneHead, embedding: Tensor) -> Tensor:
        r"""Returns the logits :math:`(M, G)` of :obj:`tokens` for states :math:`(M, C)`."""
        if self.tokens.numel() == self.num_tokens:
            return head(states, embedding)
        hidden = head.norm(head.act(head.lin(states)))
        return F.linear(hidden, embedding[self.tokens], head.bias[self.tokens])

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.tokens.numel()} of {self.num_tokens} tokens)"
