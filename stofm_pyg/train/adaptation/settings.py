from dataclasses import dataclass


@dataclass(frozen=True)
class AdaptationSettings:
    r"""The settings of :meth:`adapt_cell_encoder`.

    Args:
        num_steps (int, optional): The number of steps. (default: :obj:`1000`)
        max_tokens (int, optional): The largest number of tokens of a step, both views together, before
            some are left out of them. (default: :obj:`4096`)
        lr (float, optional): The peak learning rate. (default: :obj:`2e-3`)
        mask_rate (float, optional): The share of genes that are masked. (default: :obj:`0.15`)
        min_share (float, optional): The smallest share of genes that a view keeps.
            (default: :obj:`0.5`)
        temperature (float, optional): That of the contrastive loss. (default: :obj:`0.05`)
        mgm_weight (float, optional): The weight of masked gene modelling. (default: :obj:`1.0`)
        contrastive_weight (float, optional): The weight of the contrastive loss; zero leaves it and the
            second view out. What is learned by it serves genes that were never trained on, too.
            (default: :obj:`1.0`)
        full_softmax (bool, optional): Whether all tokens of the vocabulary can be the answer, or those
            alone that occur in the slices. (default: :obj:`False`)
        min_genes (int, optional): Cells with fewer genes are not trained on. (default: :obj:`5`)
        held_out (float, optional): The share of cells that is held out. (default: :obj:`0.05`)
        seed (int, optional): The seed of all that is random. (default: :obj:`0`)
    """

    num_steps: int = 1000
    max_tokens: int = 4096
    lr: float = 2e-3
    mask_rate: float = 0.15
    min_share: float = 0.5
    temperature: float = 0.05
    mgm_weight: float = 1.0
    contrastive_weight: float = 1.0
    full_softmax: bool = False
    min_genes: int = 5
    held_out: float = 0.05
    seed: int = 0
