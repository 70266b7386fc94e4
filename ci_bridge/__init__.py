"""ci-bridge."""
