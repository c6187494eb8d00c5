"""The Python code of the pages runs, block after block of a page, on a little generated tissue. A block
after `<!-- not run: why -->` does not."""

import pytest

from tests.docs.pages import PAGES, blocks, name_of

RUN = {
    name_of(page): [block for block in blocks(page, "python") if block.reason is None] for page in PAGES
}
RUN = {name: found for name, found in RUN.items() if found}


@pytest.mark.parametrize("name", RUN)
def test_the_code_of_a_page_runs(name, names):
    for block in RUN[name]:
        # Lines of an error are those of the page.
        code = compile("\n" * (block.line - 1) + block.code, name, "exec")
        exec(code, names)


def test_pages_have_code():
    assert {"README.md", "docs/quick_start.md", "docs/formats.md", "docs/read_out.md"} <= set(RUN)
    assert sum(map(len, RUN.values())) > 12


def test_blocks_that_are_not_run_are_few_and_checked_as_python():
    skipped = [block for page in PAGES for block in blocks(page, "python") if block.reason is not None]
    assert len(skipped) <= 10
    for block in skipped:
        compile(block.code, "page", "exec")
