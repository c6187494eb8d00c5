r"""Files and folders of other formats as :class:`~anndata.AnnData`, one small reader per format."""

from stofm_pyg.data.readers._read import read
from stofm_pyg.data.readers._source_files import source_files
from stofm_pyg.data.readers.find import find_format, sources_in

__all__ = ["find_format", "read", "source_files", "sources_in"]
