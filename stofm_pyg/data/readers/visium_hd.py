import re
from pathlib import Path

from stofm_pyg.data.readers.format import Format, Options, Part, Tissue
from stofm_pyg.data.readers.visium import COUNTS, POSITIONS, read_visium

FOLDER = re.compile(r"square_(\d+)um")
USUAL_BIN = 8.0


def read_visium_hd(files: dict[str, Path], options: Options) -> Tissue:
    r"""Reads the bins of Visium HD of one size, of those that are there.

    Raises:
        ValueError: Bins of the size that is asked for are not there, or a file of them.
    """
    root = files["bins"].parent
    sizes = {}
    for folder in root.glob("square_*um"):
        match = FOLDER.fullmatch(folder.name)
        if match is not None:
            sizes[float(match[1])] = folder
    listed = ", ".join(f"{size:g}" for size in sorted(sizes))
    size = options.bin_size
    if size is None:
        size = USUAL_BIN if USUAL_BIN in sizes else max(sizes)
    if size not in sizes:
        raise ValueError(
            f"'{root}' has no bins of {size:g} microns; pass 'bin_size=' with one of {listed}"
        )
    folder, found = sizes[size], {}
    for part in (COUNTS, POSITIONS):
        matches = part.find(folder)
        if not matches:
            raise FileNotFoundError(
                f"There is no '{part.patterns[0]}' in '{folder}', which holds the {part.name}; copy the "
                f"whole folder"
            )
        found[part.name] = matches[0]
    tissue = read_visium(found, options)
    tissue.notes.insert(0, f"bins of {size:g} microns of {listed}" if len(sizes) > 1 else "")
    return tissue


VISIUM_HD = Format(
    "Visium HD",
    (Part("bins", ("binned_outputs/square_*um", "square_*um")),),
    read_visium_hd,
    options=("bin_size",),
    several=("bins",),
)
