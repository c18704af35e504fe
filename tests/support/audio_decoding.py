"""Sound files as another program reads them: libav, which trims what the container tells it to."""

import io

import av
import numpy as np

# Named, since a file of a few frames is too short to be recognized.
CONTAINERS = {"ogg": "ogg", "opus": "ogg", "aac": "aac", "m4b": "mp4", "mp3": "mp3", "wav": "wav", "flac": "flac"}
AAC_PRIMING = 1024
MP3_PRIMING = 576 + 529


def decoded(content: bytes, format: str) -> tuple[np.ndarray, int]:
    """The samples float32 [C, N] of a file, and their rate; `pcm` is taken as mono at 24 kHz."""
    if format == "pcm":
        return np.frombuffer(content, "<i2").astype(np.float32)[None] / 32768, 24_000
    with av.open(io.BytesIO(content), format=CONTAINERS[format]) as file:
        track = file.streams.audio[0]
        resampler = av.AudioResampler(format="fltp")
        frames = [piece for frame in file.decode(track) for piece in resampler.resample(frame)]
        return np.concatenate([frame.to_ndarray() for frame in frames], axis=1), track.rate
