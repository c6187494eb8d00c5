import json
import os
from pathlib import Path

from stofm_pyg.models.features.base import CONFIG, Features
from stofm_pyg.models.features.given import GivenFeatures
from stofm_pyg.models.features.obsm import ObsmFeatures
from stofm_pyg.models.features.pca import PCAFeatures
from stofm_pyg.models.features.tokens import TokenFeatures

#: The kinds of features by name.
FEATURES = {kind.name: kind for kind in (PCAFeatures, TokenFeatures, ObsmFeatures, GivenFeatures)}


def load_features(directory: str | os.PathLike) -> Features:
    r"""Reads features that :meth:`Features.save` wrote to a folder.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is damaged, or the kind of features unknown.
    """
    directory = Path(directory)
    path = directory / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"'{directory}' has no '{CONFIG}'; copy the model again, as a whole")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        name = config.pop("name")
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"'{path}' is damaged ({error}); copy or save the model again") from error
    if name not in FEATURES:
        raise ValueError(
            f"'{path}' names features '{name}', this release knows {', '.join(FEATURES)}; update "
            f"stofm_pyg"
        )
    try:
        return FEATURES[name].load(directory, config)
    except TypeError as error:
        raise ValueError(f"'{path}' is damaged or of another release ({error})") from error
