import pytest

from tests.nn.attention_case import cut_blocks, use_plain_flex_attention


@pytest.fixture
def plain_flex_attention(monkeypatch):
    """FlexAttention in plain torch, which does not compile anew for every shape."""
    use_plain_flex_attention(monkeypatch)


@pytest.fixture(params=[None, 2], ids=["whole", "many blocks"])
def blocks(request, monkeypatch):
    """Once as it is, and once in many small blocks."""
    if request.param is not None:
        cut_blocks(monkeypatch, request.param)
