"""Sound to learn and test from: manifests, the decoded cache, segments, augmentation, synthetic sound."""
