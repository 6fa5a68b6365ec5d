"""`python -m jsp` is the `jsp` command."""

from __future__ import annotations

import sys

from jsp.cli.main import main

sys.exit(main())
