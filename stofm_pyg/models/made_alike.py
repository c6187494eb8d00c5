import torch
from torch_geometric.data import Data

from stofm_pyg.data import SliceSettings
from stofm_pyg.models.features import GivenFeatures


def check_made_alike(model: torch.nn.Module, data: Data) -> Data:
    r"""Returns a slice as the model takes it.

    Raises:
        ValueError: It was made in another way than those that the model was trained on.
    """
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
