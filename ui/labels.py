"""Every word the pages show, in one place."""

TEXT = "Text"
TEXT_HINT = "What shall be said?"
VOICE = "Voice"
VOICE_DEFAULT = "The model's own"
RECORDING = "Or a recording of a voice (with its speaker's consent)"
RECORDING_TEXT = "The words said in the recording"
SEED = "Seed (empty: a new one each time)"
ADVANCED = "Advanced settings"
ADVANCED_HINT = "Empty leaves a value to the model."
SPEAK = "Speak"
SPEAKING = "Speaking…"
REFRESH = "Refresh"
SOUND = "Speech"
DOWNLOAD = "Download"
MEASURES = "Measures"

READY = "**Ready to speak.**"
READY_WITHOUT_VOICES = "**Ready to speak**, with no voice yet: upload a recording, or take what the model makes up."
NOT_READY = "**Cannot speak yet.**"
LOADING = "**The model is loading.** Refresh in a moment."
UNREACHABLE = "**The backend cannot be reached.**"
EMPTY = "Write a text first."
REFUSED = "**Not spoken.**"
SPOKEN = "**Spoken.**"
IGNORED = "Not known to this model:"
CUT = "A limit cut the speech short; raise “Most frames”."

# Labels of the advanced settings, in their order, by the kind of field they need.
NUMBERS = {
    "temperature": "Temperature",
    "top_p": "Top-p",
    "top_k": "Top-k",
    "min_p": "Min-p",
    "repetition_penalty": "Repetition penalty",
    "max_new_tokens": "Most frames",
    "chunk_length": "Bytes a piece",
    "speed": "Speed",
    "loudness_lufs": "Loudness (LUFS)",
}
CHOICES = {
    "markup": "Marks in the text",
    "latency": "Latency",
    "format": "File format",
}
SWITCHES = {"normalize": "Read numbers and dates as words"}
SETTINGS = {**NUMBERS, **CHOICES, **SWITCHES}

# Formats that no player of a page plays.
UNPLAYABLE = ("pcm",)

# Headers of a speech as rows, in their order.
HEADERS = {
    "x-audio-seconds": "Sound, s",
    "x-first-audio-ms": "First sound after, ms",
    "x-total-ms": "In all, ms",
    "x-rtf": "Work per second of sound, s",
    "x-queue-ms": "Waiting, ms",
    "x-reference-ms": "Recording, ms",
    "x-semantic-ms": "Codes, ms",
    "x-synthesis-ms": "Sound from codes, ms",
    "x-frames-per-second": "Frames a second",
    "x-seed": "Seed",
    "x-cache-hits": "Found in a cache",
    "x-request-id": "Request",
}
