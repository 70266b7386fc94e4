"""Where ci-bridge plugs into test tools."""
