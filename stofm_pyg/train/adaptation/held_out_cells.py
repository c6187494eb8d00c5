import torch
from torch import Generator, Tensor

from stofm_pyg.data import CellTokens
from stofm_pyg.loader import MaskGenes, TokenBatch
from stofm_pyg.loader.token_batch import IGNORED
from stofm_pyg.loader.token_batches import batches_by_length
from stofm_pyg.train.objectives.domain_adaptation import DomainAdaptation


def split_held_out(num_cells: int, share: float = 0.05, seed: int = 0) -> tuple[Tensor, Tensor]:
    r"""Returns the cells to train on and those held out, both rising: a random share, the same for a
    seed, at least one of each.

    Args:
        num_cells (int): The number of cells, at least two.
        share (float, optional): The share that is held out. (default: :obj:`0.05`)
        seed (int, optional): The seed. (default: :obj:`0`)

    Raises:
        ValueError: There are fewer than two cells, or the share is not between zero and one.
    """
    if num_cells < 2:
        raise ValueError(f"Two cells are needed, one to train on and one held out (got {num_cells})")
    if not 0 < share < 1:
        raise ValueError(f"'share' must lie between 0 and 1 (got {share})")
    count = min(max(1, round(share * num_cells)), num_cells - 1)
    order = torch.randperm(num_cells, generator=Generator().manual_seed(seed))
    return order[count:].sort().values, order[:count].sort().values


def held_out_batches(
    cells: CellTokens, mask: MaskGenes, max_tokens: int, seed: int = 0
) -> list[TokenBatch]:
    r"""Returns each cell once, with masked genes that are the same for a seed.

    All chosen genes become the mask token, as a gene that is still there would be no question.

    Args:
        cells (CellTokens): The cells.
        mask (MaskGenes): What masks them in training.
        max_tokens (int): The largest number of tokens of a batch.
        seed (int, optional): The seed. (default: :obj:`0`)
    """
    hide = MaskGenes(mask.gene_tokens, mask.mask_token_id, mask.rate, 1.0, 0.0)
    generator = Generator().manual_seed(seed)
    batches = batches_by_length(cells.lengths, max_tokens)
    return [hide(TokenBatch.take(cells, index), generator) for index in batches]


@torch.no_grad()
def held_out_accuracy(module: DomainAdaptation, batches: list[TokenBatch]) -> float:
    r"""Returns the share of masked genes that a model finds, in evaluation mode; zero if none is masked.

    Args:
        module (DomainAdaptation): The model with its objectives.
        batches (list[TokenBatch]): What :meth:`held_out_batches` returned.
    """
    training, device = module.training, module.embedding.device
    module.eval()
    right = asked = 0
    for batch in batches:
        count = int((batch.labels != IGNORED).sum())
        right += float(module(batch.to(device))["accuracy"]) * count
        asked += count
    module.train(training)
    return right / max(1, asked)
