"""``python -m ci_bridge``."""

from ci_bridge.cli import main

main(prog_name="ci-bridge")
