"""Each peer's own virtual environment, made when it is first needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
PEERS = HERE / "peers"
HOME = Path(os.environ.get("BENCH_VENVS", HERE / ".venvs"))
"""Where the environments live."""


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's environment; install it if its requirements changed.

    Raises:
        RuntimeError: pip failed; the end of its output says why.
    """
    requirements = PEERS / peer / "requirements.txt"
    text = requirements.read_bytes() + sys.version.encode()
    stamp = hashlib.sha256(text).hexdigest()
    folder = HOME / peer
    done = folder / "requirements.sha256"
    python = folder / "bin" / "python"
    if done.exists() and done.read_text() == stamp:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--requirement", requirements],
        capture_output=True,
        text=True,
    )
    if pip.returncode:
        raise RuntimeError(f"pip install for {peer} failed: {pip.stderr[-500:]}")
    done.write_text(stamp)
    return python
