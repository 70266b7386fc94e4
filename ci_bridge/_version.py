"""The version, read by the build and by `ci-bridge --version`."""

__version__ = "0.1.0"
