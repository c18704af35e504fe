"""Sound to learn and test from: manifests, segments, synthetic audio."""
