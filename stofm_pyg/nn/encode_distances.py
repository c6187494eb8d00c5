import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from stofm_pyg.nn._full_precision import full_precision

# Smaller numbers change no sum here, but once they are denormal a product takes a hundred cycles.
MIN_EXPONENT = -40.0


class EncodeDistances(torch.autograd.Function):
    r"""The same as :class:`GaussianDistance`, some distances at a time.

    What is computed on the way is a hundred times as large as what comes out. A chunk of it stays in the
    cache; the backward pass computes it again rather than read it from memory.
    """

    @staticmethod
    def forward(ctx, distance: Tensor, chunk: int, *parameters: Tensor) -> Tensor:
        ctx.save_for_backward(distance, *parameters)
        ctx.chunk = chunk
        weight1, bias1, weight2, bias2 = parameters[4:]
        out = distance.new_empty(distance.size(0), bias2.numel(), dtype=bias2.dtype)
        for part, rows in zip(distance.split(chunk), out.split(chunk), strict=True):
            _, phi = gaussian_basis(part, *parameters[:4])
            hidden = torch.addmm(bias1, phi, weight1.t()).relu_()
            rows.copy_(torch.addmm(bias2, hidden, weight2.t()))
        return out

    @staticmethod
    @once_differentiable
    @full_precision
    def backward(ctx, grad: Tensor):
        distance, weight, bias, mean, std, weight1, bias1, weight2, bias2 = ctx.saved_tensors
        grads1, grads2 = (torch.zeros_like(weight1), torch.zeros_like(bias1)), (
            torch.zeros_like(weight2), torch.zeros_like(bias2)
        )  # fmt: skip
        grad_distance = torch.empty_like(distance)
        # Sums over the distances, one value per basis function: of the exponent's gradient, of the
        # offset's, and of the offset times its gradient.
        sums = mean.new_zeros(3, mean.numel())
        grad_weight = torch.zeros_like(weight)
        sigma = std.abs() + 1e-5
        scale = math.sqrt(0.5) / sigma
        floor = 1.01 * math.exp(MIN_EXPONENT)
        for part, rows, out in zip(
            distance.split(ctx.chunk), grad.split(ctx.chunk), grad_distance.split(ctx.chunk), strict=True
        ):
            offset, phi = gaussian_basis(part, weight, bias, mean, std)
            hidden = torch.addmm(bias1, phi, weight1.t()).relu_()
            grads2[0].addmm_(rows.t(), hidden)
            grads2[1].add_(rows.sum(0))
            grad_hidden = (rows @ weight2).mul_(hidden > 0)
            grads1[0].addmm_(grad_hidden.t(), phi)
            grads1[1].add_(grad_hidden.sum(0))
            # Where the basis function is at its floor, it does not change; a sharp one shows that.
            exponent = (grad_hidden @ weight1).mul_(F.threshold_(phi, floor, 0.0))
            sums[0] += exponent.sum(0)
            exponent.mul_(offset).mul_(-2)
            sums[1] += exponent.sum(0)
            sums[2] += exponent.mul(offset).sum(0)
            per_distance = (exponent @ scale).unsqueeze(-1)
            grad_weight += (per_distance * part).sum()
            torch.mul(per_distance, weight, out=out)
        grad_mean = -sums[1] * scale
        grad_std = -(sums[2] + sums[0]) / sigma * std.sign()
        grad_bias = -grad_mean.sum().view(1)
        return grad_distance, None, grad_weight, grad_bias, grad_mean, grad_std, *grads1, *grads2


def gaussian_basis(
    distance: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, std: Tensor
) -> tuple[Tensor, Tensor]:
    r"""The scaled offsets :math:`(w d + b - \mu_k) / \sqrt{2} \sigma_k` of distances :math:`(*, 1)`
    and the basis functions, both :math:`(*, K)`."""
    std = std.abs() + 1e-5
    scale = math.sqrt(0.5) / std
    # Scaled after the subtraction, in which a distance and a mean near it cancel out.
    offset = torch.addcmul(bias - mean, distance, weight).mul_(scale)
    log_norm = -(math.sqrt(2 * math.pi) * std).log()
    exponent = torch.addcmul(log_norm, offset, offset, value=-1)
    return offset, exponent.clamp_(min=MIN_EXPONENT).exp_()
