"""Audio data for training and tests: manifests, decoded cache, segments, augmentation, synthetic audio."""
