from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from huggingface_hub import ModelCardData

from stofm_pyg.models.label_head import LabelHead

if TYPE_CHECKING:
    from stofm_pyg.models.stofm import SToFM

PAPER = "https://arxiv.org/abs/2507.11588"
TAGS = ["biology", "spatial-transcriptomics", "graph-machine-learning"]
# Below this the card says that the data were little; the corpus of the paper has 88 million.
MANY_CELLS = 1_000_000


@dataclass(frozen=True)
class ModelCard:
    r"""What a model itself does not know and the page about it should say: it becomes :obj:`README.md`,
    as the hub shows it, together with what the model knows of itself.

    Args:
        title (str, optional): What the page is called; the name of the repository without.
            (default: :obj:`None`)
        data (str, optional): What it was trained on: tissue, technology, where it is from.
            (default: :obj:`None`)
        metrics (Mapping, optional): What was measured, by name; a name should say on what.
            (default: :obj:`None`)
        license (str, optional): The licence of the weights as the hub names it, *e.g.*, :obj:`"mit"`.
            (default: :obj:`None`)
        limits (str, optional): What it must not be used for, or does badly. (default: :obj:`None`)

    Example:
        >>> card = ModelCard(data="STARmap, mouse mPFC, three slices", license="cc-by-4.0")
        >>> model.save_pretrained("my_model", card=card)
    """

    title: str | None = None
    data: str | None = None
    metrics: Mapping[str, float | str] | None = None
    license: str | None = None
    limits: str | None = None

    def text(self, model: SToFM, name: str | None = None) -> str:
        r"""Returns the page, in Markdown.

        Args:
            model (SToFM): The model.
            name (str, optional): What :meth:`SToFM.from_pretrained` is to be called with; the title
                without. (default: :obj:`None`)
        """
        name = name or self.title or "my_model"
        head = ModelCardData(license=self.license, library_name="stofm_pyg", tags=TAGS).to_yaml()
        parts = [
            f"---\n{head}\n---",
            f"# {_line(self.title or name)}",
            f"Embeddings of cells in their tissue, by a model of the [SToFM]({PAPER}) kind made with "
            f"`stofm_pyg`. It is not the published model of the authors of that paper.",
            f"## Use\n\n```python\nfrom stofm_pyg import SToFM\n\nmodel = SToFM.from_pretrained("
            f'"{name}")\nmodel.embed(adata)   # adata.obsm["X_stofm"]\n```\n\n{_takes(model)}',
            f"## Data\n\n{self.data or 'Not described.'}\n\n{_table(_data_facts(model))}",
            f"## Model\n\n{_table(_model_facts(model))}",
            f"## Results\n\n{_table(self.metrics) if self.metrics else 'None given.'}",
            f"## Limits\n\n{self._limits(model)}",
            f"## Licence\n\n{self.license or 'None given: ask before you use it.'}",
        ]
        return "\n\n".join(parts) + "\n"

    def _limits(self, model: SToFM) -> str:
        lines = [] if self.limits is None else [self.limits]
        cells = (model.fitted_to or {}).get("cells")
        if cells is not None and cells < MANY_CELLS:
            lines.append(
                f"It was trained on little data, {cells:,} cells (the paper: 88 million). Expect it to "
                f"hold for tissue and technology like those it has seen, and to know nothing of others."
            )
        lines.append(
            "No embedding takes the place of a control: compare with the same model untrained and with "
            "principal components smoothed over neighbours, on slices that were held out whole."
        )
        return "\n\n".join(lines)


def _takes(model: SToFM) -> str:
    if model.features is None:
        return "It takes slices with features of your own making."
    settings = model.settings
    where = "`X`" if settings.layer is None else f"`layers[{settings.layer!r}]`"
    place = f"positions in `obsm[{settings.spatial_key!r}]`"
    if getattr(model.features, "obsm", None) is not None:
        return f"It takes an AnnData with features in `obsm[{model.features.obsm!r}]` and {place}."
    return f"It takes an AnnData with raw counts in {where} and {place}."


def _data_facts(model: SToFM) -> dict[str, Any]:
    facts = {key: f"{value:,}" for key, value in (model.fitted_to or {}).items()}
    genes = getattr(model.features, "genes", None) or getattr(model.vocab, "genes", None)
    return facts | ({} if genes is None else {"genes": f"{len(genes):,}"})


def _model_facts(model: SToFM) -> dict[str, Any]:
    facts: dict[str, Any] = {"parameters": f"{sum(p.numel() for p in model.parameters()):,}"}
    facts["features of a cell"] = f"`{model.features}`"
    facts |= {key.replace("_", " "): f"`{value}`" for key, value in model.config.items()}
    settings = model.settings.to_dict()
    facts["settings"] = ", ".join(f"`{k}={v!r}`" for k, v in settings.items() if v is not None)
    facts["read-out"] = ", ".join(f"`{k}={v!r}`" for k, v in model.read_out.to_dict().items())
    if model.found_domains is not None:
        facts["tissue domains"] = model.found_domains.n
    for label, learned in model.heads.items():
        facts[f"label {label}"] = ", ".join(map(str, cast(LabelHead, learned).classes))
    return facts


def _table(rows: Mapping[str, Any]) -> str:
    if not rows:
        return "How many cells and slices is not recorded."
    lines = [f"| {_line(key)} | {_line(value)} |" for key, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _line(value: Any) -> str:
    # In one cell of a table, whatever a name holds.
    return " ".join(str(value).split()).replace("|", "\\|")
