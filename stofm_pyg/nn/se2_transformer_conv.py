from typing import Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, Parameter
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.utils import softmax

from stofm_pyg.nn._checks import check_distances, check_nodes, check_precision, check_prior
from stofm_pyg.nn._find_edges import find_edges
from stofm_pyg.nn._undirected_edges import undirected_edges
from stofm_pyg.nn.attention.evaluators import EVALUATORS, attend
from stofm_pyg.nn.gaussian_distance import GaussianDistance
from stofm_pyg.nn.pair_representation import PairRepresentation


class SE2TransformerConv(MessagePassing):
    r"""The SE(2) Transformer operator from the `"SToFM: a Multi-scale Foundation Model for Spatial
    Transcriptomics" <https://arxiv.org/abs/2507.11588>`_ paper: attention between all nodes of a
    subpatch, biased by their distances

    .. math::
        \mathbf{x}^{\prime}_i = \mathbf{W}_O \sum_{j} \alpha_{i,j} \mathbf{W}_V \mathbf{x}_j,
        \qquad \boldsymbol{\alpha} = \mathrm{softmax} (\mathbf{S}_l),
        \qquad \mathbf{S}_l = \mathbf{S}_{l-1} +
        \frac{(\mathbf{X} \mathbf{W}_Q) (\mathbf{X} \mathbf{W}_K)^{\top}}{\sqrt{d}}

    per head, where the logits start from :math:`\mathbf{S}_0 = \mathbf{B}`: the distance of an edge as
    encoded by :class:`GaussianDistance`, the encoding of :obj:`far` for a pair without an edge, zero on
    the diagonal and for CLS. After the last layer :math:`\mathbf{S}_L` is the pair representation.
    The output depends on positions through distances alone and so is invariant to rotation,
    translation and reflection (E(2), which contains SE(2)). The graph must be undirected.

    With :obj:`prior_channels`, scores :math:`\mathbf{s}_{j,i}` of an edge other than its distance add
    :math:`\mathbf{w}_h^{\top} \mathbf{s}_{j,i}` to the bias of head :math:`h`, in both directions apart,
    with weights that start from zero.

    While a :class:`torch_geometric.explain.Explainer` masks edges, attention runs edgewise whatever
    :obj:`evaluator` says, since the others have no messages. The mask of an edge weighs its message;
    messages of pairs without an edge stay as they are.

    Args:
        in_channels (int): Size of each input sample.
        out_channels (int): Size of each output sample, a multiple of :obj:`heads`.
        heads (int, optional): Number of attention heads. (default: :obj:`8`)
        dropout (float, optional): Dropout probability of the attention weights. (default: :obj:`0.0`)
        num_gaussians (int, optional): Number of basis functions of the distance encoding. With
            :obj:`None`, the layer encodes no distances and continues the :obj:`pair` of the layer
            before it. (default: :obj:`128`)
        max_distance (float, optional): The range of the basis functions at the start, in the unit of
            the distances. (default: :obj:`10.0`)
        far (float, optional): The distance that stands for "no edge". (default: :obj:`100.0`)
        bias (bool, optional): If set to :obj:`False`, the layer will not learn additive biases.
            (default: :obj:`True`)
        evaluator (str, optional): How attention is computed, all to the same result:
            :obj:`"dense"` keeps the logits of all pairs, :obj:`"blocked"` a few rows at a time, with
            memory that grows as :math:`N`, :obj:`"fused"` none at all in a kernel for CUDA,
            :obj:`"edgewise"` is message passing along all pairs as the equation says it (slow; a
            reference), and :obj:`"auto"` chooses by size, device and whether a gradient is needed.
            (default: :obj:`"auto"`)
        prior_channels (int, optional): Number of scores of an edge, :obj:`edge_prior`.
            (default: :obj:`0`)
        **kwargs (optional): Additional arguments of
            :class:`torch_geometric.nn.conv.MessagePassing`.

    Shapes:
        - **input:** node features :math:`(N, C_{in})`, edge indices :math:`(2, |\mathcal{E}|)`,
          distances :math:`(|\mathcal{E}|, 1)`, subpatch of each node :math:`(N)` *(optional)*,
          node types :math:`(N)` *(optional)*, scores :math:`(|\mathcal{E}|, C)` *(with prior_channels)*
        - **output:** node features :math:`(N, C_{out})`, or these and a :class:`PairRepresentation`
          if :obj:`return_pair=True`

    Examples:
        >>> conv = SE2TransformerConv(16, 32, heads=4)
        >>> x, edge_index = torch.randn(3, 16), torch.tensor([[0, 1], [1, 0]])
        >>> conv(x, edge_index, torch.tensor([[1.5], [1.5]])).shape
        torch.Size([3, 32])
    """

    evaluators = EVALUATORS

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 8,
        dropout: float = 0.0,
        num_gaussians: Optional[int] = 128,
        max_distance: float = 10.0,
        far: float = 100.0,
        bias: bool = True,
        evaluator: str = "auto",
        prior_channels: int = 0,
        **kwargs,
    ):
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=0, **kwargs)

        if heads < 1 or out_channels % heads != 0:
            raise ValueError(
                f"'out_channels' must be a multiple of 'heads' (got {out_channels} and {heads})"
            )
        if evaluator not in self.evaluators:
            raise ValueError(
                f"Unknown evaluator '{evaluator}'; known: {', '.join(self.evaluators)}"
            )

        if prior_channels < 0 or (prior_channels > 0 and num_gaussians is None):
            raise ValueError(
                f"'prior_channels' must be 0 or more, and 0 in a layer that encodes no distances (got "
                f"{prior_channels} with num_gaussians={num_gaussians}); give it to the first layer alone"
            )

        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads
        self.dropout = dropout
        self.num_gaussians = num_gaussians
        self.far = far
        self.evaluator = evaluator
        self.prior_channels = prior_channels

        self.lin_qkv = Linear(in_channels, 3 * out_channels, bias=bias)
        self.lin_out = Linear(out_channels, out_channels, bias=bias)
        if num_gaussians is not None:
            self.distance = GaussianDistance(heads, num_gaussians, max_distance)
        else:
            self.register_parameter("distance", None)
        if prior_channels > 0:
            self.prior_weight = Parameter(torch.empty(heads, prior_channels))
        else:
            self.register_parameter("prior_weight", None)

        self.reset_parameters()

    def reset_parameters(self):
        r"""Resets all learnable parameters of the module."""
        super().reset_parameters()
        self.lin_qkv.reset_parameters()
        self.lin_out.reset_parameters()
        if self.distance is not None:
            self.distance.reset_parameters()
        if self.prior_weight is not None:
            torch.nn.init.zeros_(self.prior_weight)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Optional[Tensor] = None,
        batch: Optional[Tensor] = None,
        node_type: Optional[Tensor] = None,
        pair: Optional[PairRepresentation] = None,
        return_pair: bool = False,
        edge_prior: Optional[Tensor] = None,
    ) -> Union[Tensor, tuple[Tensor, PairRepresentation]]:
        r"""Runs the forward pass of the module.

        Args:
            x (torch.Tensor): The node features.
            edge_index (torch.Tensor): The edge indices.
            edge_attr (torch.Tensor, optional): The distance of each edge. (default: :obj:`None`)
            batch (torch.Tensor, optional): The subpatch of each node, sorted; attention stays
                inside a subpatch. (default: :obj:`None`)
            node_type (torch.Tensor, optional): The :class:`NodeType` of each node; without it all
                nodes are cells. (default: :obj:`None`)
            pair (PairRepresentation, optional): The pair representation of the layer before, which
                this layer advances. (default: :obj:`None`)
            return_pair (bool, optional): If set to :obj:`True`, will additionally return the pair
                representation. (default: :obj:`False`)
            edge_prior (torch.Tensor, optional): The scores of each edge, if the layer was made with
                :obj:`prior_channels`. (default: :obj:`None`)
        """
        if pair is None:
            pair = self.start_pair(edge_index, edge_attr, x.size(0), batch, node_type, edge_prior)
        elif edge_prior is not None:
            raise ValueError(
                "The 'pair' of the layer before holds the bias of edges already; pass 'edge_prior' to "
                "the first layer alone"
            )
        if self.explain:
            pair.evaluator = "edgewise"

        if pair.heads != self.heads:
            raise ValueError(
                f"The 'pair' of the layer before has {pair.heads} heads, this layer {self.heads}; "
                f"give both the same number"
            )

        if self.evaluator not in ("auto", pair.evaluator) and not self.explain:
            raise ValueError(
                f"This layer's evaluator is '{self.evaluator}', but the 'pair' of the layer before has "
                f"'{pair.evaluator}'; give both the same"
            )

        channels = self.out_channels // self.heads
        qkv = check_precision(self.lin_qkv(x)).view(-1, 3, self.heads, channels).permute(1, 2, 0, 3)
        # Logits add up along the layers, so they stay in full precision under autocast too.
        query, key, value = qkv.to(pair.far.dtype).contiguous()
        with torch.autocast(x.device.type, enabled=False):
            query = query * channels**-0.5
            if pair.evaluator != "edgewise":
                out = attend(pair, query, key, value, self.dropout if self.training else 0.0)
                out = out.transpose(0, 1)
            else:
                pairs = pair.all_pairs()
                logits = pair.pairs(pairs)
                pair.append(query, key)
                query, key, value = (tensor.transpose(0, 1) for tensor in (query, key, value))
                inputs = {"query": query, "key": key, "value": value, "logits": logits}
                if self.explain:
                    inputs["edge"] = self._masked_edges(edge_index, pairs, x.size(0))
                # propagate_type: (query: Tensor, key: Tensor, value: Tensor, logits: Tensor)
                out = self.propagate(pairs, **inputs)

        out = self.lin_out(out.flatten(1).to(qkv.dtype))
        return (out, pair) if return_pair else out

    def start_pair(
        self,
        edge_index: Tensor,
        edge_attr: Optional[Tensor],
        num_nodes: int,
        batch: Optional[Tensor] = None,
        node_type: Optional[Tensor] = None,
        edge_prior: Optional[Tensor] = None,
    ) -> PairRepresentation:
        r"""The pair representation before the first layer: the encoded distances, and what scores of
        edges add to them."""
        if self.distance is None:
            raise ValueError(
                "This layer has 'num_gaussians=None' and encodes no distances; pass it the 'pair' "
                "that the layer before it returned"
            )
        # A distance is encoded once for both directions, and once for all pairs without an edge.
        distance = check_distances(edge_index, edge_attr).view(-1)
        batch = check_nodes("batch", batch, num_nodes)
        subpatch = edge_index.new_zeros(num_nodes) if batch is None else batch
        once = undirected_edges(edge_index, distance.detach(), subpatch)
        distance = torch.cat([distance.index_select(0, once), distance.new_full((1,), self.far)])
        with torch.autocast(distance.device.type, enabled=False):
            bias = self.distance(distance.to(self.distance.mean.dtype))
        bias = bias.to(torch.promote_types(bias.dtype, torch.float32))
        edge_bias, far = bias[:-1], bias[-1]
        edge_prior = check_prior(edge_index, edge_prior, self.prior_channels)
        if edge_prior is not None:
            reverse = find_edges(edge_index, edge_index.index_select(1, once).flip(0), num_nodes)
            edge_prior = edge_prior.index_select(0, torch.cat([once, reverse]))
            with torch.autocast(distance.device.type, enabled=False):
                score = F.linear(edge_prior.to(self.prior_weight.dtype), self.prior_weight)
            edge_bias = edge_bias.repeat(2, 1) + score.to(bias.dtype)
        edge_index = edge_index.index_select(1, once)
        return PairRepresentation(
            edge_index, edge_bias, far, num_nodes, batch, node_type, self.evaluator
        )

    def message(
        self,
        query_i: Tensor,
        key_j: Tensor,
        value_j: Tensor,
        logits: Tensor,
        index: Tensor,
        ptr: Optional[Tensor],
        size_i: Optional[int],
    ) -> Tensor:
        alpha = softmax((query_i * key_j).sum(dim=-1) + logits, index, ptr, size_i)
        alpha = F.dropout(alpha, p=self.dropout, training=self.training)
        return value_j * alpha.unsqueeze(-1)

    def _masked_edges(self, edge_index: Tensor, pairs: Tensor, num_nodes: int) -> Tensor:
        if self._edge_mask is not None and self._edge_mask.numel() != edge_index.size(1):
            raise ValueError(
                f"The mask to explain holds {self._edge_mask.numel()} edges, but the layer was called "
                f"with {edge_index.size(1)}; explain a model that takes 'edge_index' as it is"
            )
        return find_edges(edge_index, pairs, num_nodes)

    def explain_message(self, inputs: Tensor, edge: Tensor) -> Tensor:
        mask = self._edge_mask
        if mask is None:
            raise ValueError("There is no edge mask to explain with; set it by an 'Explainer'")
        mask = mask.sigmoid() if self._apply_sigmoid else mask
        # The last one is of pairs without an edge, whose number is -1.
        mask = torch.cat([mask, mask.new_ones(1)])
        return inputs * mask[edge].view(-1, 1, 1)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"heads={self.heads})"
        )
