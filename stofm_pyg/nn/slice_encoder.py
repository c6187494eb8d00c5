import inspect
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Dropout, Embedding, Linear, ModuleList, Parameter

from stofm_pyg.nn._checks import check_distances, check_nodes, check_prior
from stofm_pyg.nn.conv_adapter import ConvAdapter
from stofm_pyg.nn.conv_resolver import ConvLike, find_conv, make_conv
from stofm_pyg.nn.gaussian_distance import GaussianDistance
from stofm_pyg.nn.node_type import NodeType
from stofm_pyg.nn.pair_representation import PairRepresentation
from stofm_pyg.nn.se2_transformer_conv import SE2TransformerConv
from stofm_pyg.nn.slice_encoder_block import SliceEncoderBlock


class SliceEncoderOutput(NamedTuple):
    r"""What :class:`SliceEncoder` returns: the last layer's features :math:`(N, C)`, the features
    that enter the first layer and those after each layer, and the pair representation."""

    x: Tensor
    hidden_states: list[Tensor]
    pair: PairRepresentation


class SliceEncoder(torch.nn.Module):
    r"""The encoder of subpatches from the `"SToFM: a Multi-scale Foundation Model for Spatial
    Transcriptomics" <https://arxiv.org/abs/2507.11588>`_ paper, with its SE(2) Transformer layer or any
    PyG operator in that layer's place.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden and output sample.
        num_layers (int): Number of layers.
        conv (str, type or Callable, optional): The operator: a name or class of
            :obj:`torch_geometric.nn`, or a factory called with :obj:`(channels, edge_channels)`.
            (default: :obj:`"SE2TransformerConv"`)
        heads (int, optional): Number of attention heads. (default: :obj:`8`)
        ffn_channels (int, optional): Hidden size of the feed-forward parts; :obj:`hidden_channels`
            without. (default: :obj:`None`)
        num_gaussians (int, optional): Number of basis functions of a distance. (default: :obj:`128`)
        max_distance (float, optional): The range of the basis functions at the start, in the unit of
            the positions. (default: :obj:`10.0`)
        far (float, optional): The distance that stands for "no edge". (default: :obj:`100.0`)
        dropout (float, optional): Dropout probability of features. (default: :obj:`0.0`)
        attention_dropout (float, optional): Dropout probability of attention weights.
            (default: :obj:`0.0`)
        act (str, optional): The non-linearity. (default: :obj:`"gelu"`)
        pre_norm (bool, optional): Normalise before each part instead of after. (default: :obj:`False`)
        evaluator (str, optional): How attention is computed, see :class:`SE2TransformerConv`.
            (default: :obj:`"auto"`)
        prior_channels (int, optional): Number of scores of an edge beside its distance, which bias
            attention, see :class:`SE2TransformerConv`, or are added to the encoded distance that another
            operator sees. (default: :obj:`0`)

    Shapes:
        - **input:** node features :math:`(N, C_{in})`, edge indices :math:`(2, |\mathcal{E}|)`,
          distances :math:`(|\mathcal{E}|, 1)`, subpatch of each node :math:`(N)` *(optional)*,
          node types :math:`(N)` *(optional)*, scores :math:`(|\mathcal{E}|, C)` *(with prior_channels)*
        - **output:** a :class:`SliceEncoderOutput`

    Examples:
        >>> encoder = SliceEncoder(16, 32, num_layers=2, conv="GATv2Conv", heads=4)
        >>> x, edge_index = torch.randn(3, 16), torch.tensor([[0, 1], [1, 0]])
        >>> encoder(x, edge_index, torch.tensor([[1.5], [1.5]])).x.shape
        torch.Size([3, 32])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        conv: ConvLike = "SE2TransformerConv",
        heads: int = 8,
        ffn_channels: int | None = None,
        num_gaussians: int = 128,
        max_distance: float = 10.0,
        far: float = 100.0,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        act: str = "gelu",
        pre_norm: bool = False,
        evaluator: str = "auto",
        prior_channels: int = 0,
    ):
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be at least 1 (got {num_layers})")
        if heads < 1 or hidden_channels % heads != 0:
            raise ValueError(
                f"'hidden_channels' must be a multiple of 'heads' (got {hidden_channels} and {heads})"
            )
        for name, rate in (("dropout", dropout), ("attention_dropout", attention_dropout)):
            if not 0 <= rate < 1:
                raise ValueError(f"'{name}' must lie in [0, 1) (got {rate})")
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.num_layers = num_layers
        self.heads = heads
        self.prior_channels = prior_channels
        conv = find_conv(conv) if isinstance(conv, str) else conv
        self.conv_name = getattr(conv, "__name__", type(conv).__name__)

        self.lin_in = Linear(in_channels, hidden_channels)
        self.node_type_emb = Embedding(len(NodeType), hidden_channels)
        self.dropout = Dropout(dropout)
        self.blocks = ModuleList()
        for layer in range(num_layers):
            if inspect.isclass(conv) and issubclass(conv, SE2TransformerConv):
                op = conv(
                    hidden_channels,
                    hidden_channels,
                    heads,
                    attention_dropout,
                    # The first layer encodes the distances, the others continue its logits.
                    num_gaussians=num_gaussians if layer == 0 else None,
                    max_distance=max_distance,
                    far=far,
                    evaluator=evaluator,
                    prior_channels=prior_channels if layer == 0 else 0,
                )
            else:
                op = make_conv(conv, hidden_channels, hidden_channels, heads, attention_dropout)
            if not isinstance(op, SE2TransformerConv):
                op = ConvAdapter(op, hidden_channels)
            self.blocks.append(
                SliceEncoderBlock(
                    op, hidden_channels, ffn_channels or hidden_channels, dropout, act, pre_norm
                )
            )

        # A factory may build our layer too, so what was built decides.
        self.is_se2 = isinstance(self.blocks[0].conv, SE2TransformerConv)
        if not self.is_se2:
            self.distance = GaussianDistance(hidden_channels, num_gaussians, max_distance)
            self.lin_pair = Linear(hidden_channels, 2 * hidden_channels)
        self.register_parameter("prior_weight", None)
        if prior_channels > 0 and not self.is_se2:
            self.prior_weight = Parameter(torch.zeros(hidden_channels, prior_channels))

    def reset_parameters(self):
        r"""Resets all learnable parameters of the module."""
        for module in self.children():
            for part in module if isinstance(module, ModuleList) else [module]:
                if hasattr(part, "reset_parameters"):
                    part.reset_parameters()
        if self.prior_weight is not None:
            torch.nn.init.zeros_(self.prior_weight)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        node_type: Tensor | None = None,
        edge_prior: Tensor | None = None,
    ) -> SliceEncoderOutput:
        r"""Runs the forward pass of the module.

        Args:
            x (torch.Tensor): The node features.
            edge_index (torch.Tensor): The edge indices.
            edge_attr (torch.Tensor, optional): The distance of each edge. (default: :obj:`None`)
            batch (torch.Tensor, optional): The subpatch of each node, sorted. (default: :obj:`None`)
            node_type (torch.Tensor, optional): The :class:`NodeType` of each node; without it all
                nodes are cells. (default: :obj:`None`)
            edge_prior (torch.Tensor, optional): The scores of each edge, if the encoder was made with
                :obj:`prior_channels`. (default: :obj:`None`)
        """
        if node_type is None:
            node_type = torch.zeros(x.size(0), dtype=torch.long, device=x.device)
        check_nodes("node_type", node_type, x.size(0))
        x = self.dropout(self.lin_in(x) + self.node_type_emb(node_type.long()))

        pair = None
        edge_prior = check_prior(edge_index, edge_prior, self.prior_channels)
        if not self.is_se2:
            edge_attr = self.distance(check_distances(edge_index, edge_attr))
            if edge_prior is not None:
                edge_attr = edge_attr + edge_prior.to(edge_attr.dtype) @ self.prior_weight.t()
        elif edge_prior is not None:
            first = self.blocks[0].conv
            pair = first.start_pair(edge_index, edge_attr, x.size(0), batch, node_type, edge_prior)
        hidden_states = [x]
        for block in self.blocks:
            x, pair = block(x, edge_index, edge_attr, batch, node_type, pair)
            hidden_states.append(x)
        if pair is None:
            pair = self._bilinear_pair(x, edge_index, batch, node_type)
        return SliceEncoderOutput(x, hidden_states, pair)

    def _bilinear_pair(
        self, x: Tensor, edge_index: Tensor, batch: Tensor | None, node_type: Tensor
    ) -> PairRepresentation:
        # Other operators keep no pair representation; theirs is a bilinear form of the output.
        far = x.new_zeros(self.heads)
        pair = PairRepresentation(
            edge_index[:, :0], x.new_zeros(0, self.heads), far, x.size(0), batch, node_type
        )
        query, key = self.lin_pair(x).chunk(2, dim=-1)
        channels = self.hidden_channels // self.heads
        query, key = (h.view(-1, self.heads, channels).transpose(0, 1) for h in (query, key))
        pair.append(query * channels**-0.5, key)
        return pair

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.hidden_channels}, "
            f"num_layers={self.num_layers}, conv={self.conv_name}, heads={self.heads})"
        )
