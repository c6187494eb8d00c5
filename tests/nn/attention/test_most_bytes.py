from types import SimpleNamespace

import pytest
import torch

import stofm_pyg.nn.attention.row_blocks
from stofm_pyg.nn.attention._most_bytes import most_bytes
from stofm_pyg.nn.attention.evaluators import DENSE_BYTES, DENSE_SHARE
from stofm_pyg.nn.attention.row_blocks import BLOCK_BYTES, BLOCK_SHARE
from tests.nn.attention_case import random_pair

MIB, GIB = 2**20, 2**30


@pytest.fixture
def gpu_of(monkeypatch):
    def gpu_of(memory):
        properties = SimpleNamespace(total_memory=memory)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)

    return gpu_of


@pytest.mark.parametrize(
    ("memory", "block", "dense"),
    [(80 * GIB, 256 * MIB, 8 * GIB), (16 * GIB, 256 * MIB, 2 * GIB), (4 * GIB, 64 * MIB, GIB // 2)],
)
def test_a_small_gpu_gets_small_blocks(gpu_of, memory, block, dense):
    gpu_of(memory)
    cuda = torch.device("cuda")
    assert most_bytes(BLOCK_BYTES, cuda, BLOCK_SHARE) == block
    assert most_bytes(DENSE_BYTES, cuda, DENSE_SHARE) == dense


def test_other_devices_do_not_ask_a_gpu(gpu_of):
    gpu_of(1)
    assert most_bytes(BLOCK_BYTES, torch.device("cpu"), BLOCK_SHARE) == 4 * MIB
    assert most_bytes(BLOCK_BYTES, torch.device("mps"), BLOCK_SHARE) == 4 * MIB


def test_blocks_of_a_pair_representation_have_that_size(monkeypatch):
    monkeypatch.setattr(stofm_pyg.nn.attention.row_blocks, "MIN_ROWS", 1)
    pair = random_pair((200,), (), heads=2)
    whole = pair.logits.blocks
    monkeypatch.setattr(stofm_pyg.nn.pair_representation, "BLOCK_BYTES", {"cpu": 8 * 2 * 200 * 50})
    pair = random_pair((200,), (), heads=2)
    assert [block.shape for block in pair.logits.blocks] == [(50, 200)] * 4
    assert [block.shape for block in whole] == [(200, 200)]
