"""The container's entry point: inputs of the CI system become variables of ours, then the command line runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import MutableMapping

NOT_OURS = {"ARGS", "ENTRYPOINT"}  # inputs that tell the CI system how to start the container


def adopt_inputs(env: MutableMapping[str, str]) -> None:
    """Set ``CI_BRIDGE_FOO_BAR`` from each ``INPUT_FOO-BAR`` that is not empty; ``CI_BRIDGE_INPUTS`` names them."""
    names = []
    for key, value in sorted(env.items()):
        name = key.removeprefix("INPUT_").replace("-", "_").upper()
        if key.startswith("INPUT_") and value.strip() and name not in NOT_OURS:
            env[f"CI_BRIDGE_{name}"] = value
            names.append(name.lower())
    env["CI_BRIDGE_INPUTS"] = ",".join(names)


def run(arguments: list[str]) -> None:
    """Run the command line; without arguments the command ``report``."""
    # The first process of a container ignores SIGTERM unless it handles it, from its first moment on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    adopt_inputs(os.environ)
    from ci_bridge.cli import main

    main(arguments or ["report"])


if __name__ == "__main__":
    run(sys.argv[1:])
