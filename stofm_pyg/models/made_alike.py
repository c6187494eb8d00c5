from collections.abc import Mapping
from typing import Any

import torch
from torch_geometric.data import Data

from stofm_pyg.data import SliceSettings
from stofm_pyg.models.features import GivenFeatures
from stofm_pyg.transforms.check_tensors import check_tensors


def check_made_alike(model: torch.nn.Module, data: Data, where: Mapping[str, Any] | None = None) -> Data:
    r"""Returns a slice as the model takes it.

    Args:
        model (torch.nn.Module): A :class:`SToFM`.
        data (Data): The slice.
        where (dict, optional): Where things would be found in an AnnData; in a slice there is nothing to
            find. (default: :obj:`None`)

    Raises:
        TypeError: Something is to be found, or a value is no tensor.
        ValueError: It was made in another way than those that the model was trained on.
    """
    if where:
        raise TypeError(
            f"'{next(iter(where))}' means nothing for a slice that is converted already; leave it out"
        )
    check_tensors(data)
    features = model.features
    if features is None:
        return data
    mend = "Make it by 'model.slices(adata)', or pass the AnnData."
    if data.get("settings") is not None:
        wrong = SliceSettings.from_json(data.settings).differences(model.settings)
        if wrong:
            raise ValueError(
                f"The slice was made in another way than those that the model was trained on: "
                f"{', '.join(wrong)}. {mend}"
            )
    if isinstance(features, GivenFeatures):
        return features.encode_data(data)
    known = data.get("features")
    if known is not None and known != features.fingerprint():
        raise ValueError(f"The slice has other features than {features}. {mend}")
    return data
