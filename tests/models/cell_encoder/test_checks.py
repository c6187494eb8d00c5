import re

import pytest
import torch

from stofm_pyg.data import CellTokens
from stofm_pyg.models.cell_encoder.checks import check_tokens


def make(*cells, fingerprint=None):
    ptr = torch.tensor([0, *map(len, cells)]).cumsum(0)
    return CellTokens(torch.tensor(sum(cells, [])).long(), ptr, fingerprint)


def test_good_tokens():
    check_tokens(make([9, 0, 3], [9], [9, 1, 2]), vocab_size=10, max_length=3)
    check_tokens(make(), vocab_size=10, max_length=3)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            make([9, 1], [9, 12, 5], [9, 11], fingerprint="abcdef0123456789"),
            "Cell 1 has token 12, the encoder knows tokens 0 to 9 (largest token: 12). The vocabulary "
            "of the tokens (abcdef012345) and the encoder do not fit",
        ),
        (make([9, 1], [], [9, -1]), "Cell 2 has token -1, the encoder knows tokens 0 to 9"),
        (make([9], [], [9], []), "Cell 1 has no token, as 2 of 4 cells"),
        (make([9], [9, 1, 2, 3], [9] * 5), "Cell 1 has 4 tokens, as 2 of 3 cells more than the 3"),
    ],
)
def test_bad_tokens(cells, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_tokens(cells, vocab_size=10, max_length=3)


def test_tokens_of_another_vocabulary():
    cells = make([9, 1], fingerprint="abcdef0123456789")
    check_tokens(cells, 10, 3)
    check_tokens(cells, 10, 3, "abcdef0123456789")
    check_tokens(make([9, 1]), 10, 3, "0123456789abcdef")
    with pytest.raises(ValueError, match="vocabulary abcdef012345, the encoder is of .* 0123456789ab"):
        check_tokens(cells, 10, 3, "0123456789abcdef")
