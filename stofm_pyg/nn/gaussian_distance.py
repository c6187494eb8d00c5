import torch
from torch import Tensor
from torch.nn import Linear, Parameter, ReLU, Sequential

from stofm_pyg.nn.encode_distances import EncodeDistances, gaussian_basis

# Distances encoded at a time.
CHUNK = {"cpu": 4096, "cuda": 2**20}


class GaussianDistance(torch.nn.Module):
    r"""The distance encoding of SToFM from the `"SToFM: a Multi-scale Foundation Model for Spatial
    Transcriptomics" <https://arxiv.org/abs/2507.11588>`_ paper: Gaussian basis functions of a
    distance, followed by a two-layer perceptron

    .. math::
        g(d) = \mathbf{W}_2 \, \mathrm{ReLU} \left( \mathbf{W}_1 \boldsymbol{\phi}(d) + \mathbf{b}_1
        \right) + \mathbf{b}_2, \qquad
        \phi_k(d) = \frac{1}{\sqrt{2 \pi} \sigma_k}
        \exp \left( - \frac{(w d + b - \mu_k)^2}{2 \sigma_k^2} \right)

    with :math:`\sigma_k = |s_k| + 10^{-5}` and learnable :math:`\mu_k, s_k, w, b`.

    Args:
        out_channels (int): Size of each output, one value per attention head for a bias.
        num_gaussians (int, optional): Number of basis functions :math:`K`. (default: :obj:`128`)
        max_distance (float, optional): The means start evenly spaced between zero and this distance,
            in the unit of the positions. (default: :obj:`10.0`)

    Shapes:
        - **input:** distances :math:`(*)` or :math:`(*, 1)`, in the unit of the positions
        - **output:** :math:`(*, C_{out})`

    Examples:
        >>> encode = GaussianDistance(out_channels=8, num_gaussians=16)
        >>> encode(torch.tensor([[0.5], [2.0]])).shape
        torch.Size([2, 8])
    """

    def __init__(self, out_channels: int, num_gaussians: int = 128, max_distance: float = 10.0):
        super().__init__()
        self.out_channels = out_channels
        self.num_gaussians = num_gaussians
        self.max_distance = max_distance

        self.weight = Parameter(torch.empty(1))
        self.bias = Parameter(torch.empty(1))
        self.mean = Parameter(torch.empty(num_gaussians))
        self.std = Parameter(torch.empty(num_gaussians))
        self.mlp = Sequential(
            Linear(num_gaussians, num_gaussians),
            ReLU(),
            Linear(num_gaussians, out_channels),
        )
        self.reset_parameters()

    def reset_parameters(self):
        r"""Resets all learnable parameters of the module."""
        with torch.no_grad():
            self.weight.fill_(1.0)
            self.bias.zero_()
            self.mean.copy_(torch.linspace(0.0, self.max_distance, self.num_gaussians))
            self.std.fill_(1.5 * self.max_distance / max(self.num_gaussians - 1, 1))
        self.mlp[0].reset_parameters()
        self.mlp[2].reset_parameters()

    @torch.no_grad()
    def fit(self, distance: Tensor, target: Tensor, rest: Tensor, ridge: float = 1e-3):
        r"""Sets the perceptron so that :math:`g` is near to a function: a sum of the basis functions, by
        least squares.

        Args:
            distance (torch.Tensor): Distances :math:`(M)`.
            target (torch.Tensor): The values of the function there :math:`(M, C_{out})`.
            rest (torch.Tensor): The values where all basis functions vanish, as for a pair without an
                edge :math:`(C_{out})`.
            ridge (float, optional): The penalty on large weights. (default: :obj:`1e-3`)
        """
        torch.nn.init.eye_(self.mlp[0].weight)
        torch.nn.init.zeros_(self.mlp[0].bias)
        phi = self.basis(distance).double()
        gram = phi.t() @ phi
        gram.diagonal().add_(ridge * gram.diagonal().mean())
        weight = torch.linalg.solve(gram, phi.t() @ (target - rest).double())
        self.mlp[2].weight.copy_(weight.t())
        self.mlp[2].bias.copy_(rest)

    def basis(self, distance: Tensor) -> Tensor:
        r"""Returns the basis functions :math:`\phi(d)` of shape :math:`(*, K)`."""
        if distance.dim() < 2 or distance.size(-1) != 1:
            distance = distance.unsqueeze(-1)
        return gaussian_basis(distance, self.weight, self.bias, self.mean, self.std)[1]

    def forward(self, distance: Tensor) -> Tensor:
        r"""Runs the forward pass of the module."""
        chunk = CHUNK.get(distance.device.type, CHUNK["cpu"])
        if distance.numel() <= chunk or torch.compiler.is_compiling():
            return self.mlp(self.basis(distance))
        shape = distance.shape[:-1] if distance.size(-1) == 1 else distance.shape
        out = EncodeDistances.apply(distance.reshape(-1, 1), chunk, *self.parameters())
        return out.view(*shape, -1)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.out_channels}, num_gaussians={self.num_gaussians}, "
            f"max_distance={self.max_distance})"
        )
