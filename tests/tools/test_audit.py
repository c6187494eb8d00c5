import sys

import pytest

from tools import audit


def test_pins():
    text = "# a\ntorch==2.13.0\nNum_Py==2.4.6; python_version >= '3.11'\nnum-py==2.2.6 # old\n\n"
    assert audit.pins(text) == {"torch": ["2.13.0"], "num-py": ["2.4.6", "2.2.6"]}
    for line in ("torch>=2", "-r other.txt", "torch", "--index-url https://x", "a @ https://x/a.whl"):
        with pytest.raises(ValueError, match="is no exact pin"):
            audit.pins(line)


def test_what_setup_asks_for():
    text = 'setup(install_requires=["torch>=2.8", "huggingface_hub>=1.0"], extras_require={})'
    assert audit.asked(text) == {"torch": "2.8", "huggingface-hub": "1.0"}
    with pytest.raises(ValueError, match="no 'install_requires'"):
        audit.asked("setup()")


def test_pins_that_do_not_suit():
    pinned = {"torch": ["2.13.0"], "scipy": ["1.17.1", "1.13"], "pandas": ["2.3.3"]}
    wanted = {"torch": "2.8", "scipy": "1.14", "pandas": "2.2", "h5py": "3.10"}
    assert audit.unpinned(pinned, wanted) == [
        "'h5py' has no pin in requirements.txt",
        "'scipy==1.13' is older than 1.14, which setup.py asks for",
    ]


@pytest.mark.parametrize(
    ("code", "said", "to", "expected", "told"),
    [
        (0, "No known vulnerabilities found", "stdout", 0, "No known"),
        (1, "Name Version ID\ntorch 1.0 PYSEC-1", "stdout", 1, "PYSEC-1"),
        (1, "requests.exceptions.ConnectionError: no route", "stderr", 2, "Nothing was audited"),
        (1, "Traceback\nKeyError: 1", "stderr", 2, "KeyError: 1); try with"),
    ],
)
def test_what_is_made_of_an_answer(code, said, to, expected, told):
    program = f"import sys; print({said!r}, file=sys.{to}); sys.exit({code})"
    found, text = audit.ask([sys.executable, "-S", "-c", program])
    assert found == expected
    assert told in text


def test_the_pins_of_the_project(capsys, monkeypatch):
    monkeypatch.setattr(audit.importlib.util, "find_spec", lambda name: None)
    assert audit.main([]) == 2
    out = capsys.readouterr().out
    assert "packages have exact pins, which suit setup.py" in out
    assert "install it by 'pip install pip-audit'" in out
