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
    "pitch": "Pitch (semitones)",
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

HOW_TO_START = "Start the backend (bash start.sh start backend, on Windows start_backend.bat), then try again."

# The Gradio page.
TITLE = "Phonogram"
STOP = "Stop"
PREVIEW = "Preview"
SEED_SHORT = "Seed"
SEED_HINT = "new each time"
VOICE_SOUND = "Recording of the voice"
OWN_VOICE = "A voice of your own"
FIT_REFERENCE = "Get to know the voice first: some seconds once, then more alike. Needs the words."
CONSENT = "The person who speaks agrees to having this voice copied."
PRESET = "Preset"
PRESET_NAME = "Keep these settings as"
PRESET_SAVE = "Keep"
PRESET_NEEDS_NAME = "Give the preset a name of its own first."
ADD_VOICE = "Add a voice"
ADD_VOICE_HINT = "Five to twenty seconds of one person speaking, without music or echo, serve best."
VOICE_NAME = "Name"
VOICE_NEEDS_NAME = "Give the voice a name first."
VOICE_NEEDS_SOUND = "Upload or record the voice first."
RECORDING_NEEDS_CONSENT = (
    "A recording is copied only with consent: ask the person who speaks, then tick the box below it."
)
VOICE_NEEDS_CONSENT = "Ask the person who speaks; with their agreement, tick the box."
VOICE_REFUSED = "Not added."
VOICE_ADDED = "“{name}” is in the library, and on the Speak tab."
CODEC_SOUND = "A sound"
CODEC_RUN = "Encode and decode"

# Settings of the Speak tab by name; what is not named is left to the model.
PRESETS: dict[str, dict[str, float]] = {
    "The model's own": {},
    "Steady": {"temperature": 0.4, "top_p": 0.7},
    "Lively": {"temperature": 0.9, "top_p": 0.95},
    "Slow reading": {"speed": 0.85},
}

# Words of the page's scripts; {names} are filled in there.
SCRIPT: dict[str, object] = {
    "title": TITLE,
    "theme": "Dark or light",
    "asking": "Asking the backend…",
    "ready": "Ready to speak",
    "ready_with": "Ready · {model}",
    "loading": "The model is loading",
    "not_ready": "Cannot speak yet.",
    "page_away": "The page's server does not answer. Start it again, then reload.",
    "empty": EMPTY,
    "consent_missing": RECORDING_NEEDS_CONSENT,
    "speaking": SPEAKING,
    "fitting": "Getting to know the voice…",
    "stopped": "Stopped.",
    "spoken": "Spoken.",
    "recalled": "From the history of this browser.",
    "broke_off": "The speech broke off before its end; what came is here. Speak again, or look at the server's log.",
    "no_rate": "The backend answered without a sample rate. Check that page and backend are of one version.",
    "catching_up": "The backend is slower than speech right now; collecting some before going on.",
    "ignored": IGNORED,
    "nothing_yet": "Write a text, then press Speak or Ctrl+Enter. Esc stops.",
    "step_sent": "Asked",
    "step_first": "First sound",
    "step_growing": "Speaking",
    "step_whole": "Whole",
    "waiting_first": "waiting",
    "accepted": "accepted",
    "growing_text": "{made} made, {ahead} ahead, {pace}× speech",
    "made": "{made} made",
    "speech": SOUND,
    "play": "Play",
    "pause": "Pause",
    "place_in_sound": "place in the sound",
    "spectrogram": "spectrogram",
    "m_heard": "Heard after",
    "m_length": "Length",
    "m_total": "In all",
    "m_rtf": "Work per second",
    "m_gaps": "Gaps",
    "m_seed": "Seed",
    "m_queue": "Waiting",
    "m_reference": "Voice",
    "m_semantic": "Codes",
    "m_synthesis": "Sound",
    "download": DOWNLOAD,
    "keep_seed": "Use this seed again",
    "preview": PREVIEW,
    "history": "History",
    "no_history": "What you speak is kept here, in this browser only.",
    "forget_all": "Forget all",
    "forget_all_sure": "Forget everything spoken in this browser?",
    "forget": "Forget",
    "use_text": "Use text",
    "own_recording": "own recording",
    "own_voice": VOICE_DEFAULT,
    "choose_for_comparison": "Compare",
    "compare": "Compare blind",
    "compare_how": "Two takes in an order you do not know. Listen to both, then say which is better.",
    "prefer": "Prefer {letter}",
    "no_difference": "No difference",
    "close": "Close",
    "you_prefer": "You prefer: {name}",
    "you_heard_none": "No difference heard. Both names are shown.",
    "insert_marks": "Insert a mark",
    "more_marks": "{n} more",
    "marks": [
        ["[pause:0.5s]", "half a second of silence"],
        ["[speed:1.2]", "faster from here on; [speed:1] is the usual speed again"],
        ["[pitch:+2]", "two semitones higher from here on; [pitch:0] is the usual pitch again"],
        ["[voice:]", "another voice from here on: write its name after the colon"],
        ["[tomato](/təˈmɑːtoʊ/)", "a word said as written in IPA"],
    ],
    "emotions_known": "What this model knows",
    "emotions_some": "The loaded checkpoint (“{family}”) speaks these marks. Press one to put it into the text.",
    "emotions_none": "The loaded checkpoint (“{family}”) was trained without emotion marks: it knows none. "
    "A mark in the text is left out and named below the speech; it is never read aloud.",
    "emotions_unknown": "What it does not know",
    "emotions_unknown_text": "Any other mark in brackets is taken out of the text and named in the answer. "
    "Checkpoints of the openaudio-s1 family know some sixty emotions, tones and sounds; s2 reads free descriptions. "
    "With one of them loaded, this page lists its marks.",
    "marks_title": "What works with every model",
    "marks_text": "These are carried out by the engine itself. Under Advanced settings, “Marks in the text” must be "
    "“markup”; the buttons below the text see to that.",
    "group_emotions": "Emotions",
    "group_shades": "Shades",
    "group_tones": "Tones",
    "group_sounds": "Sounds",
    "group_pauses": "Pauses",
    "voices": "Voices",
    "find_voice": "Find a voice",
    "no_voices": "No voice of that name.",
    "added_by_you": "added here",
    "new_name": "A new name for the voice",
    "remove": "Remove",
    "rename": "Rename",
    "remove_sure": "Remove “{name}” and its recording?",
    "likeness": "Likeness",
    "measuring_likeness": "Speaking a sentence to compare…",
    "likeness_is": "{name}: likeness {value} of 1 between the recording and a fresh take.",
    "health": "Health",
    "is_up": "The backend is up.",
    "load": "Load",
    "chart_cpu": "Processor",
    "chart_memory": "Memory",
    "chart_open": "Speeches at work",
    "chart_card": "Graphics card",
    "chart_card_memory": "Card memory",
    "caches": "Caches",
    "clear_caches": "Clear",
    "cleared": "{n} entries forgotten.",
    "cache": "Cache",
    "entries": "Entries",
    "size": "Size",
    "hit_rate": "Found",
    "optimizations": "Optimizations, and why",
    "state": "State",
    "optimization": "Optimization",
    "why": "Why",
    "is_on": "on",
    "is_off": "off",
    "requests": "Recent requests",
    "no_requests_kept": "This backend keeps no list of requests.",
    "r_id": "Request",
    "r_door": "Door",
    "r_voice": "Voice",
    "r_length": "Length",
    "r_first": "First sound",
    "r_rtf": "Work per second",
    "r_waited": "Waited",
    "r_end": "End",
    "h_model": "Model",
    "h_codec": "Codec",
    "frames_a_second": "frames a second",
    "h_device": "Device",
    "h_why": "Why this device",
    "h_torch": "PyTorch",
    "threads": "threads: {n}",
    "h_version": "Version",
    "h_up": "Up for",
    "h_rtf": "Work per second of sound, median",
    "h_first": "First sound, median",
    "codec": "Codec",
    "codec_how": "Choose or record a sound. It becomes codes, and the codes become sound again.",
    "codec_needs_sound": "Choose or record a sound first.",
    "codec_works": "Encoding and decoding…",
    "codec_done": "Done: {kbps} kbps. Move the slider to spend less.",
    "codebooks": "Codebooks",
    "all_codebooks": "all",
    "codebooks_of": "{n} of {all}",
    "before": "Before",
    "after": "After",
    "codes": "Codes",
    "codes_text": "A row for each codebook, a column for each frame; the color is the code.",
    "code_map": "Map of the codes",
    "c_codec": "Codec",
    "c_bitrate": "Bitrate",
    "c_size": "Code file",
    "c_was": "Sound file",
    "c_frames": "Frames",
    "c_encoding": "Encoding",
    "c_decoding": "Decoding",
    "save_codes": "Download codes (.pgc)",
    "save_after": "Download sound (.wav)",
    "new_job": "A long text",
    "long_text": "Long text",
    "long_text_hint": "A chapter, an article, a book. Lines that begin with # open a chapter.",
    "document": "Or a text, Markdown or EPUB file",
    "job_title": "Title",
    "job_format": "File format",
    "start_job": "Speak in the background",
    "job_started": "Started. It goes on when this page is closed.",
    "job_needs_text": "Write a text or choose a file first.",
    "jobs": "Jobs",
    "no_jobs": "No job yet.",
    "untitled": "Untitled",
    "open_job": "Open",
    "forget_job_sure": "Remove “{title}” with all its sound?",
    "sentences": "Sentences",
    "more_sentences": "{n} more",
    "progress": "Sentences spoken",
    "do_pause": "Pause",
    "do_resume": "Go on",
    "do_cancel": "Cancel",
    "job_waiting": "waiting",
    "job_speaking": "speaking",
    "job_writing": "writing the file",
    "job_paused": "paused",
    "job_done": "done",
    "job_failed": "failed",
    "job_cancelled": "cancelled",
    "is_waiting": "waiting",
    "is_speaking": "speaking…",
    "is_skipped": "left out:",
    "speak_again": "Speak again",
    "undo": "Undo",
    "redo": "Redo",
    "take_name": "take {n}, seed {seed}",
}
