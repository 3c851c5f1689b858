"""kfp without its client: importing that, and Kubernetes' with it, takes 1.3 s, and nothing here needs either."""

from __future__ import annotations

import sys
from types import ModuleType

_CLIENT = "kfp.client"


def load() -> None:
    """Imports kfp, if nobody has; `import kfp.client` still gives the real one afterwards."""
    if "kfp" in sys.modules:
        return
    stub = ModuleType(_CLIENT)
    stub.Client = None  # type: ignore[attr-defined]  # all that kfp asks of it
    sys.modules[_CLIENT] = stub
    try:
        import kfp

        del kfp.Client
        if vars(kfp).get("client") is stub:
            del kfp.client
    finally:
        if sys.modules.get(_CLIENT) is stub:
            del sys.modules[_CLIENT]
