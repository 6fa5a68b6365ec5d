"""`python -m jsp.apps.filesync` is `jsp-sync`."""

import sys

from .main import main

sys.exit(main())
