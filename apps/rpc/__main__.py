"""`python -m jsp.apps.rpc` is `jsp-rpc`."""

import sys

from .main import main

sys.exit(main())
