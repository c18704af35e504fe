"""Datasets: manifests, decoded audio, segments, augmentation, token shards, synthetic signals."""
