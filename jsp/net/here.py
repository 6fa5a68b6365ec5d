"""Where this code runs. Compiled modules get the name from `here.pxd` beside this file, which is not compiled."""

from __future__ import annotations

from gevent.monkey import get_original

# Not what monkey-patching makes of it: that tells greenlets apart.
thread = get_original("_thread", "get_ident")
