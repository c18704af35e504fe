"""Baseline codecs: Opus, Codec2, Lyra."""
