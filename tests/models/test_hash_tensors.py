import torch

from stofm_pyg.models.hash_tensors import hash_tensors


def test_whatever_differs_gives_another_hash():
    x = torch.arange(6.0)
    variants = [
        ({"x": x}, {"a": 1}),
        ({"x": x}, {"a": 2}),
        ({"x": x}, {}),
        ({"y": x}, {"a": 1}),
        ({"x": x.view(2, 3)}, {"a": 1}),
        ({"x": x.double()}, {"a": 1}),
        ({"x": x.view(torch.int32)}, {"a": 1}),
        ({"x": x + 1e-6}, {"a": 1}),
        ({"x": x, "y": x}, {"a": 1}),
        ({"x": x[:0]}, {"a": 1}),
    ]
    assert len({hash_tensors(*variant) for variant in variants}) == len(variants)


def test_what_is_equal_gives_the_same_hash():
    x = torch.arange(6.0).view(2, 3)
    a = hash_tensors({"x": x.t()}, {"a": 1, "b": 2})
    assert a == hash_tensors({"x": x.t().contiguous().requires_grad_()}, {"b": 2, "a": 1})
    assert len(hash_tensors({"x": x.bfloat16()}, {})) == 64
