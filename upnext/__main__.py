"""`python -m upnext`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # `python -m` puts the working directory in front of the standard library. Behind it, a
    # user's queue.py is not what `import queue` finds, here or in any library.
    if not sys.flags.safe_path:
        sys.path.append(sys.path.pop(0))

    from upnext.cli.main import main

    sys.exit(main())
