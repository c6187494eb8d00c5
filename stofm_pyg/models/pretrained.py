from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from stofm_pyg.models._files import read_model, save_model
from stofm_pyg.models._find_model import find_model
from stofm_pyg.models._push_model import push_model
from stofm_pyg.models.model_card import ModelCard

if TYPE_CHECKING:
    from stofm_pyg.models.stofm import SToFM

Model = TypeVar("Model", bound="Pretrained")


class Pretrained:
    r"""What is saved to a folder, read from one, and shared on the Hugging Face hub."""

    def save_pretrained(
        self,
        directory: str | os.PathLike,
        card: ModelCard | None = None,
        name: str | None = None,
    ):
        r"""Writes the model to a directory, each file as a whole: :obj:`config.json` (sizes, settings,
        read-out), :obj:`model.safetensors`, and what it sees of a cell to :obj:`features` in it. Nothing
        of a model that was there before is left, but for its page.

        Args:
            directory (str or PathLike): The directory.
            card (ModelCard, optional): Writes :obj:`README.md` too, the page about the model.
                (default: :obj:`None`)
            name (str, optional): What that page says to pass to :meth:`from_pretrained`.
                (default: :obj:`None`)
        """
        directory, model = Path(directory).expanduser(), cast("SToFM", self)
        text = None if card is None else card.text(model, name or directory.name)
        save_model(model, directory, text)

    @classmethod
    def from_pretrained(
        cls: type[Model],
        name: str | os.PathLike,
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> Model:
        r"""Reads a model that :meth:`save_pretrained` wrote, in evaluation mode; every weight must be
        there and be used.

        Args:
            name (str or PathLike): A directory; else :obj:`"generated-tissue"`, the small model that
                ships with the package (for generated tissue, to try things); else :obj:`"user/model"`, a
                repository on the hub, which is downloaded once.
            revision (str, optional): Branch, tag or commit on the hub. (default: :obj:`None`)
            cache_dir (str or PathLike, optional): Where downloads are kept; where the hub's own client
                keeps them without. (default: :obj:`None`)
            local_files_only (bool, optional): Takes what was downloaded before, and asks no network.
                (default: :obj:`False`)
            token (str or bool, optional): The token for a private repository; that of
                :obj:`hf auth login` without. (default: :obj:`None`)

        Raises:
            FileNotFoundError: There is no such model, it cannot be downloaded, or a file is missing.
            ValueError: A file is damaged, or of a newer format.

        Example:
            >>> model = SToFM.from_pretrained("generated-tissue")
            >>> model.embed(generate_tissue())
        """
        return read_model(cls, find_model(name, revision, cache_dir, local_files_only, token))

    def push_to_hub(
        self,
        repo_id: str,
        *,
        card: ModelCard | None = None,
        private: bool | None = None,
        revision: str | None = None,
        commit_message: str | None = None,
        token: str | bool | None = None,
    ) -> str:
        r"""Uploads the model with its page to the Hugging Face hub, where
        :obj:`SToFM.from_pretrained(repo_id)` finds it.

        Args:
            repo_id (str): The repository, :obj:`"user/model"`; made if need be.
            card (ModelCard, optional): What the page says of data, results and licence beside what the
                model knows of itself. (default: :obj:`None`)
            private (bool, optional): Whether a new repository is private; as the account says without.
                (default: :obj:`None`)
            revision (str, optional): The branch; made if need be. (default: :obj:`None`)
            commit_message (str, optional): The message. (default: :obj:`None`)
            token (str or bool, optional): The token; that of :obj:`hf auth login` without.
                (default: :obj:`None`)

        Returns:
            The address of the commit.

        Raises:
            OSError: It cannot be uploaded; the message says why.
        """
        model = cast("SToFM", self)
        return push_model(model, repo_id, card, private, revision, commit_message, token)
