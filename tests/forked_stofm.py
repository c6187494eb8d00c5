"""`stofm` as a command whose processes are forks of this one, which has imported what takes longest."""

import json
import logging
import os
import socket
import sys
import threading
from contextlib import contextmanager

import torch

from benchmarks.kills.children import start
from stofm_pyg.cli import main

# What is run in the place of `stofm`: it passes on arguments, environment and folder.
CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    server.sendall(json.dumps([sys.argv[2:], dict(os.environ), os.getcwd()]).encode() + b"\\n")
    status, said = json.loads(server.makefile().readline())
sys.stderr.write(said)
sys.exit(status)
"""


@contextmanager
def forked_stofm(folder):
    """A context in which the words that it yields run `stofm`."""
    client, place = folder / "client.py", folder / "socket"
    client.write_text(CLIENT)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        threading.Thread(target=_serve, args=(server, folder), daemon=True).start()
        yield f"{sys.executable} -S {client} {place}"


def _serve(server, folder):
    number = 0
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # Closed.
            return
        log = folder / f"log-{number}"
        number += 1
        threading.Thread(target=_answer, args=(connection, log), daemon=True).start()


def _answer(connection, log):
    with connection:
        words, environment, place = json.loads(connection.makefile().readline())

        def command():
            os.environ.update(environment)
            os.chdir(place)
            torch.set_num_threads(1)  # Other threads than the one that forks are not in the fork.
            logging.getLogger().handlers.clear()  # Those of pytest, which write elsewhere.
            return main(words)

        status = os.waitstatus_to_exitcode(os.waitpid(start(command, log), 0)[1])
        answer = [status, log.read_text(errors="replace")]
        connection.sendall(json.dumps(answer).encode() + b"\n")
