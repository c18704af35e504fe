"""Audio metrics: reconstruction, speech quality, word error rate, speaker similarity, intervals."""
