"""Publish in processes that can be killed: one process imports everything once, and forks each publisher."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from exporter.publishing.publish import publish
from exporter.publishing.triton import Triton
from exporter.repository.open import open_repository
from tests.exporter.publish_helpers import prepared_model


def main(repository: str, address: str) -> None:
    """Fork a publisher for every input line; write its process id, and "done" when it has ended."""
    with tempfile.TemporaryDirectory() as folder:
        ready = prepared_model(Path(folder))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        ended = 0
        for _ in sys.stdin:
            if ended:
                # Reaped only now, so that a late kill cannot hit another process with the same id.
                os.waitpid(ended, 0)
            child = os.fork()
            if not child:
                with Triton(address, timeout=30) as triton:
                    publish(open_repository(repository), ready, triton=triton)
                os._exit(0)
            sys.stdout.write(f"{child}\n")
            sys.stdout.flush()
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
            sys.stdout.write("done\n")
            sys.stdout.flush()
            ended = child


if __name__ == "__main__":
    main(*sys.argv[1:])
