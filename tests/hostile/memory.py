"""How much memory a function takes at most, in a process of its own with a limit."""

import os
import resource
import traceback

LIMIT = 2**30


def refused_within(function, limit=LIMIT):
    """What the ValueError, TypeError or OSError of a function says, which may take so many bytes beyond
    what there is now; if it asks for more, the test fails."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        told = "no error"
        try:
            pages = int(open("/proc/self/statm").read().split()[0])
            most = pages * resource.getpagesize() + limit
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            function()
        except (ValueError, TypeError, OSError) as error:
            told = f"refused: {error}"
        except BaseException:
            told = traceback.format_exc()
        os.write(writer, told.encode()[:60_000])
        os._exit(0)
    os.close(writer)
    parts = []
    while part := os.read(reader, 2**16):
        parts.append(part)
    os.close(reader)
    os.waitpid(pid, 0)
    told = b"".join(parts).decode()
    assert told.startswith("refused: "), told
    assert len(told) < 3000 and "MemoryError" not in told, told[:3000]
    return told.removeprefix("refused: ")
