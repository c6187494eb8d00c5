import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import Compose

from stofm_pyg._scatter import scatter_mean
from stofm_pyg.corpus import Corpus, CorpusDataset, FeatureStore
from stofm_pyg.nn import NodeType
from stofm_pyg.nn.node_type import cell_mask
from stofm_pyg.train.pretraining.config import StageConfig
from stofm_pyg.train.pretraining.transforms import graph_transforms, held_out_transform
from stofm_pyg.transforms import AddCLS, MaskCells


class HeldOutSlices:
    r"""Slices that are not trained on, and what a model makes of them: the same cells masked and moved
    each time.

    Args:
        corpus (Corpus): The slices.
        features (FeatureStore): The features of their cells, the truth of masked cell modelling.
        stage (StageConfig): How cells are masked and moved.
        draws (int, optional): How often each subpatch is. (default: :obj:`1`)
        tokens (bool, optional): Whether the model takes tokens. (default: :obj:`False`)
        seed (int, optional): The seed. (default: :obj:`0`)
        graph (str, optional): How nodes are tied, :obj:`SToFM.graph`. (default: :obj:`"radius"`)
    """

    def __init__(
        self,
        corpus: Corpus,
        features: FeatureStore,
        stage: StageConfig,
        draws: int = 1,
        tokens: bool = False,
        seed: int = 0,
        graph: str = "radius",
    ):
        self.corpus = corpus
        self.draws = draws
        transform = held_out_transform(corpus.settings, stage, graph)
        rings = stage.objectives.get("rings", 0) > 0
        if rings:
            for shard in corpus.shards:
                features.write_rings(shard)
        self._asked = CorpusDataset(
            corpus, features, tokens, transform=transform, seed=seed, rings=rings
        )
        masks = MaskCells(stage.mask_rate)
        self._masked = CorpusDataset(corpus, features, False, False, transform=masks, seed=seed)
        tie, hubs = graph_transforms(corpus.settings, graph)
        whole = Compose([AddCLS(), tie]) if graph == "official" else hubs[0]
        self._whole = CorpusDataset(corpus, features, tokens, transform=whole)

    @torch.no_grad()
    def evaluate(self, module: torch.nn.Module) -> dict[str, float]:
        r"""The errors of a model: :obj:`"mcm_mse"`, of features whose standard deviation within a slice
        is one on average; :obj:`"mcm_cosine"`, of differences from the mean of the cells that are not
        masked; :obj:`"rings_mse"`, of mean features of rings, whose mean square is one; and
        :obj:`"pdr_rmse"`, in the unit of the positions; as far as the module has these objectives.

        Args:
            module (torch.nn.Module): A :class:`Pretraining`, as it is or shared by processes; it stays
                in the mode it is in.
        """
        training, device = module.training, next(module.parameters()).device
        module.eval()
        cells, rings, pairs = _Errors(), _Errors(), _Errors()
        for index in range(len(self._asked)):
            for draw in range(self.draws):
                batch = self._asked[index, draw].to(device)
                predicted = module(batch, predict=True)
                if "mcm" in predicted:
                    mean = visible_mean(batch)
                    cells.add(predicted["mcm"] - mean, batch.target - mean)
                if "rings" in predicted:
                    rings.add(predicted["rings"].flatten(1), batch.rings[cell_mask(batch)].flatten(1))
                if "pdr" in predicted and batch.pair_index.size(1) > 0:
                    pairs.add(predicted["pdr"][:, None], batch.pair_distance[:, None])
        module.train(training)
        out = {}
        if cells.rows:
            out |= {"mcm_mse": cells.mse, "mcm_cosine": cells.cosine}
        if rings.rows:
            out["rings_mse"] = rings.mse
        if pairs.rows:
            out["pdr_rmse"] = pairs.mse**0.5
        return out

    def baselines(self) -> dict[str, float]:
        r"""The errors, on the same masked cells, of two guesses: the mean of the neighbours that are not
        masked, in the true graph, and the mean cell of the slice; of rings, those of the mean of a
        cell's neighbours times the number that fits each ring best, and of the mean cell; of moved
        pairs, those of the mean distance."""
        neighbour, mean, pairs, rings = _Errors(), _Errors(), _Errors(), _BestMultiple()
        for index in range(len(self._masked)):
            for draw in range(self.draws):
                data = self._masked[index, draw]
                shown = visible_mean(data)
                neighbour.add(mean_neighbours(data) - shown, data.target - shown)
                mean.add(torch.zeros_like(data.target), data.target - shown)
                asked = self._asked[index, draw]
                if "rings" in asked:
                    cells = cell_mask(data)
                    truth = asked.rings[cell_mask(asked)]
                    rings.add(neighbour_means(data, data.mask)[cells], truth)
                distance = asked.get("pair_distance")
                if distance is not None and distance.numel() > 0:
                    distance = distance[:, None]
                    pairs.add(distance.mean().expand_as(distance), distance)
        out = {
            "mean_neighbour_mse": neighbour.mse,
            "mean_neighbour_cosine": neighbour.cosine,
            "mean_cell_mse": mean.mse,
            "mean_distance_rmse": pairs.mse**0.5 if pairs.rows else 0.0,
        }
        if rings.rows:
            out |= {"mean_neighbour_rings_mse": rings.mse, "mean_cell_rings_mse": rings.mse_of_zero}
        return out

    @torch.no_grad()
    def embed(self, module: torch.nn.Module, slice_number: int = 0) -> tuple[Tensor, Tensor]:
        r"""Positions :math:`(N, 2)` and embeddings :math:`(N, C)` of the cells of a slice, nothing
        masked.

        Args:
            module (torch.nn.Module): A :class:`Pretraining`, as it is or shared by processes.
            slice_number (int, optional): The number of the slice. (default: :obj:`0`)
        """
        training, device = module.training, next(module.parameters()).device
        module.eval()
        pos, rows = [], []
        for index in (self._whole.slice_of == slice_number).nonzero().view(-1).tolist():
            batch = self._whole[index].to(device)
            batch.mask = torch.zeros_like(batch.node_type, dtype=torch.bool)  # Nothing is asked.
            batch.pair_index = batch.edge_index[:, :0]
            cells = batch.node_type == NodeType.CELL
            rows.append(module(batch, predict=True)["x"][cells].float().cpu())
            pos.append(batch.pos[cells].cpu())
        module.train(training)
        return torch.cat(pos), torch.cat(rows)


def mean_neighbours(data: Data) -> Tensor:
    r"""The mean features of the neighbours of each masked cell that are not masked themselves; without
    any, the mean of all that are not :math:`(M, C)`.

    Args:
        data (Data): A subpatch of cells, with :obj:`mask`.
    """
    return neighbour_means(data, data.mask)[data.mask]


def neighbour_means(data: Data, mask: Tensor) -> Tensor:
    r"""The mean features of the neighbours of each node that are not masked; without any, the mean of
    all that are not :math:`(N, C)`.

    Args:
        data (Data): A subpatch of cells.
        mask (torch.Tensor): Which are masked :math:`(N)`.
    """
    source, target = data.edge_index
    seen = ~mask[source]
    mean = scatter_mean(data.x[source[seen]], target[seen], data.num_nodes)
    lonely = torch.bincount(target[seen], minlength=data.num_nodes) == 0
    mean[lonely] = data.x[~mask].mean(dim=0)
    return mean


def visible_mean(data: Data) -> Tensor:
    r"""The mean features of the cells of a subpatch that are not masked :math:`(1, C)`."""
    return data.x[cell_mask(data) & ~data.mask].mean(dim=0, keepdim=True)


class _Errors:
    # Sums over rows of squared errors and of cosines.
    def __init__(self):
        self.rows, self.values, self.squares, self.cosines = 0, 0, 0.0, 0.0

    def add(self, pred: Tensor, truth: Tensor):
        pred, truth = pred.double(), truth.double()
        self.rows += truth.size(0)
        self.values += truth.numel()
        self.squares += float((pred - truth).square().sum())
        self.cosines += float(F.cosine_similarity(pred, truth, dim=-1).sum())

    @property
    def mse(self) -> float:
        return self.squares / self.values

    @property
    def cosine(self) -> float:
        return self.cosines / self.rows


class _BestMultiple:
    # The least error of one guess times a number, another for each ring.
    def __init__(self):
        self.rows, self.values, self.product, self.guess, self.truth = 0, 0, 0.0, 0.0, 0.0

    def add(self, guess: Tensor, truth: Tensor):
        guess, truth = guess.double()[:, None], truth.double()
        self.rows += truth.size(0)
        self.values += truth.numel()
        self.product = self.product + (guess * truth).sum(dim=(0, 2))
        self.guess = self.guess + guess.square().sum(dim=(0, 2))
        self.truth = self.truth + truth.square().sum(dim=(0, 2))

    @property
    def mse(self) -> float:
        gain = self.product.square() / self.guess.clamp(min=1e-12)
        return float((self.truth - gain).sum()) / self.values

    @property
    def mse_of_zero(self) -> float:
        return float(self.truth.sum()) / self.values
