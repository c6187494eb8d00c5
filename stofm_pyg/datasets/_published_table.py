"""Where published data sets are, and how they are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from anndata import AnnData

from stofm_pyg.datasets._published_formats import read_dlpfc, read_merfish_hypothalamus

PILOT = "https://raw.githubusercontent.com/LieberInstitute/HumanPilot/master/10X"
SECTIONS = (
    "151507 151508 151509 151510 151669 151670 151671 151672 151673 151674 151675 151676".split()
)


@dataclass(frozen=True)
class PublishedFile:
    r"""A file of a published data set.

    Args:
        name (str): What it is called here.
        url (str): Where it is.
        sha256 (str, optional): The hash of its content. If :obj:`None`, that of the first download is
            kept beside the file, and what is there later must have it. (default: :obj:`None`)
    """

    name: str
    url: str
    sha256: str | None = None


@dataclass(frozen=True)
class PublishedData:
    r"""A published data set.

    Args:
        files (sequence of PublishedFile): Its files.
        read (Callable): Makes an AnnData of their paths.
        label (str): The column of :obj:`obs` that tells domains or cell types.
        about (str): Technology, tissue and paper.
    """

    files: Sequence[PublishedFile]
    read: Callable[[Sequence[Path]], AnnData]
    label: str
    about: str


def _dlpfc(sections: Sequence[str]) -> PublishedData:
    files = [PublishedFile("layers.tsv", f"{PILOT}/barcode_level_layer_map.tsv")]
    for name in sections:
        counts = f"{name}_filtered_feature_bc_matrix.h5"
        files += [
            PublishedFile(counts, f"https://spatial-dlpfc.s3.us-east-2.amazonaws.com/h5/{counts}"),
            PublishedFile(f"{name}_positions.csv", f"{PILOT}/{name}/tissue_positions_list.txt"),
        ]
    about = "Visium, human dorsolateral prefrontal cortex; Maynard et al. 2021, Nat Neurosci 24:425"
    return PublishedData(files, read_dlpfc, "domain", about)


#: Published data sets by name.
PUBLISHED = {
    "dlpfc": _dlpfc(SECTIONS[-4:]),
    "dlpfc_all": _dlpfc(SECTIONS),
    "merfish_hypothalamus": PublishedData(
        [
            PublishedFile(
                "merfish_all_cells.csv", "https://datadryad.org/stash/downloads/file_stream/67671"
            )
        ],
        read_merfish_hypothalamus,
        "cell_type",
        "MERFISH, mouse preoptic hypothalamus, animal 1; Moffitt et al. 2018, Science 362:eaau5324",
    ),
}
