"""`python -m tests.soak`, or `python tests/soak`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest does
    from soak.command import main

    sys.exit(main())
