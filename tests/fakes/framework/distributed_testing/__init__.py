"""The least of the Distributed Testing Framework that its plugins see; the real one is the user's own."""
