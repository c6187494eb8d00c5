from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import huggingface_hub

from stofm_pyg.models.model_card import ModelCard

if TYPE_CHECKING:
    from stofm_pyg.models.stofm import SToFM


def push_model(
    model: SToFM,
    repo_id: str,
    card: ModelCard | None = None,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    token: str | bool | None = None,
) -> str:
    r"""Uploads a model, see :meth:`SToFM.push_to_hub`."""
    api = huggingface_hub.HfApi(token=token)
    with tempfile.TemporaryDirectory(prefix="stofm_pyg-push-") as folder:
        model.save_pretrained(folder, card=card or ModelCard(), name=repo_id)
        try:
            repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            if revision is not None:
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            done = api.upload_folder(
                repo_id=repo_id, folder_path=folder, revision=revision,
                commit_message=commit_message or "Upload a model of stofm_pyg",
                delete_patterns=["features/*", "domains/*"],  # Of the model that was there before.
            )  # fmt: skip
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise OSError(
                f"The model cannot be uploaded to {huggingface_hub.constants.ENDPOINT}/{repo_id} "
                f"({type(error).__name__}: {said}); is there a network, and were you logged in by "
                f"'hf auth login' with a token that may write?"
            ) from error
    return done.commit_url
