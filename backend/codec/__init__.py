"""Neural codecs: waveform to codes and back."""
