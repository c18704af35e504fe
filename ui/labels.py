"""Every text the pages show, in one place."""

from ui.sample_texts import SAMPLE_TEXTS

TEXT = "Text"
TEXT_HINT = "Type or paste your text"
VOICE = "Voice"
VOICE_DEFAULT = "Default voice"
RECORDING = "Clone a voice from a recording (with the speaker's consent)"
RECORDING_TEXT = "Transcript of the recording"
SEED = "Seed (empty: random)"
ADVANCED = "Advanced settings"
ADVANCED_HINT = "Empty fields use the model's defaults."
SPEAK = "Speak"
SPEAKING = "Generating speech…"
REFRESH = "Refresh"
SOUND = "Speech"
DOWNLOAD = "Download"
METRICS = "Metrics"

READY = "**Ready to speak.**"
READY_WITHOUT_VOICES = "**Ready to speak**, but there are no voices: upload a recording, or use the model's default."
NOT_READY = "**Not ready.**"
LOADING = "**The model is loading.** Refresh in a moment."
UNREACHABLE = "**The backend cannot be reached.**"
EMPTY = "Enter a text first."
REFUSED = "**No speech generated.**"
SPOKEN = "**Speech generated.**"
IGNORED = "Not supported by this model:"
CUT = "The speech was cut off by a limit; raise “Maximum frames”."

# Labels of the advanced settings in display order, by kind of field.
NUMBERS = {
    "temperature": "Temperature",
    "top_p": "Top-p",
    "top_k": "Top-k",
    "min_p": "Min-p",
    "repetition_penalty": "Repetition penalty",
    "max_new_tokens": "Maximum frames",
    "chunk_length": "Chunk length (bytes)",
    "speed": "Speed",
    "pitch": "Pitch (semitones)",
    "loudness_lufs": "Loudness (LUFS)",
}
CHOICES = {
    "markup": "Markup",
    "latency": "Latency",
    "format": "File format",
}
SWITCHES = {"normalize": "Read numbers and dates as words"}
SETTINGS = {**NUMBERS, **CHOICES, **SWITCHES}

# Formats that browsers cannot play.
UNPLAYABLE = ("pcm",)

# Response headers of a speech request and their labels, in display order.
HEADERS = {
    "x-audio-seconds": "Audio length, s",
    "x-first-audio-ms": "Time to first audio, ms",
    "x-total-ms": "Total time, ms",
    "x-rtf": "Real-time factor",
    "x-queue-ms": "Queue time, ms",
    "x-reference-ms": "Reference encoding, ms",
    "x-semantic-ms": "Language model, ms",
    "x-synthesis-ms": "Codec decoding, ms",
    "x-frames-per-second": "Frames per second",
    "x-seed": "Seed",
    "x-cache-hits": "Cache hits",
    "x-request-id": "Request ID",
}

HOW_TO_START = "Start the backend (bash start.sh start backend, on Windows start_backend.bat), then try again."

# The Gradio page.
TITLE = "Phonogram"
STOP = "Stop"
PREVIEW = "Preview"
SEED_SHORT = "Seed"
SEED_HINT = "random"
VOICE_SOUND = "Reference recording"
OWN_VOICE = "Clone a voice"
FIT_REFERENCE = "Higher similarity (slower the first time; needs the transcript)"
CONSENT = "The person in the recording agrees to having this voice cloned."
PRESET = "Preset"
PRESET_NAME = "Save these settings as"
PRESET_SAVE = "Save"
PRESET_NEEDS_NAME = "Enter a name that no built-in preset has."
ADD_VOICE = "Add a voice"
ADD_VOICE_HINT = "Use 5 to 20 seconds of one person speaking, without music or echo."
VOICE_NAME = "Name"
VOICE_NEEDS_NAME = "Enter a name for the voice."
VOICE_NEEDS_SOUND = "Upload or record the voice first."
RECORDING_NEEDS_CONSENT = "A voice is cloned only with consent: ask the person in the recording, then tick the box."
VOICE_NEEDS_CONSENT = "Ask the person in the recording; with their consent, tick the box."
VOICE_REFUSED = "Voice not added."
VOICE_ADDED = "“{name}” was added to the library and to the Speak tab."
CODEC_SOUND = "Audio"
CODEC_RUN = "Encode and decode"

# Values of the pages where they differ from the defaults of the API.
PAGE_DEFAULTS = {"markup": "markup"}

# Settings of the Speak tab by name; fields not listed use the model's defaults.
PRESETS: dict[str, dict[str, float]] = {
    "Default": {},
    "Steady": {"temperature": 0.4, "top_p": 0.7},
    "Lively": {"temperature": 0.9, "top_p": 0.95},
    "Slow reading": {"speed": 0.85},
}

# Texts used by the page's scripts, which fill in {names}.
SCRIPT: dict[str, object] = {
    "title": TITLE,
    "theme": "Dark or light",
    "connecting": "Connecting to the backend…",
    "ready": "Ready to speak",
    "ready_with": "Ready · {model}",
    "loading": "The model is loading",
    "not_ready": "Not ready.",
    "page_unreachable": "The server of this page does not respond. Restart it, then reload.",
    "empty": EMPTY,
    "consent_missing": RECORDING_NEEDS_CONSENT,
    "speaking": SPEAKING,
    "adapting": "Adapting to the voice…",
    "stopped": "Stopped.",
    "spoken": "Speech generated.",
    "from_history": "From the history of this browser.",
    "ended_early": "The stream ended early; the audio received so far is kept. Try again, or check the server's log.",
    "no_rate": "The response has no sample rate. Check that the page and the backend have the same version.",
    "buffering": "Generation is slower than playback: buffering.",
    "ignored": IGNORED,
    "speak_hint": "Enter a text, then press Speak or Ctrl+Enter. Esc stops.",
    "step_sent": "Sent",
    "step_first": "First audio",
    "step_generating": "Generating",
    "step_done": "Done",
    "waiting_first": "waiting",
    "accepted": "accepted",
    "generating_text": "{made} generated, {ahead} buffered, {pace}× real time",
    "generated": "{made} generated",
    "times_real_time": "{pace}× real time",
    "speech": SOUND,
    "volume": "Volume",
    "format": "Format",
    "incomplete": "incomplete",
    "read_along": "Text of the speech; click a word to hear it",
    "server_failed": "The server failed to answer. Its log has the reason; try again.",
    "request_refused": "The server did not accept this request. Reload the page; if it happens again, page and server differ in version.",
    "filter_voices": "Filter voices",
    "filter_all": "All",
    "filter_female": "Female",
    "filter_male": "Male",
    "filter_american": "American",
    "filter_british": "British",
    "filter_added": "Yours",
    "sample": "Sample",
    "speaks_with": "Voice:",
    "your_recording": "your recording",
    "use_library_voice": "Use a library voice instead",
    "sample_texts": "Sample texts",
    "samples": SAMPLE_TEXTS,
    "count": "{n} / {limit} characters",
    "to_audiobooks": "Long text? Continue in Audiobooks",
    "foreign_text": "This text looks like {language}. The built-in voice "
    "speaks English only and reads other languages as if they were English.",
    "other_script": "another language",
    "recording_quality": "Quality of the recording",
    "voice_name": VOICE_NAME,
    "voice_name_hint": "Name of the voice",
    "listen": "Listen",
    "save_voice": "Save voice",
    "saving_voice": "Adapting to the voice: {took} of about {expected}. It is adapted once; later speech starts at once.",
    "voice_saved": "“{name}” was saved and selected.",
    "voice_needs_sound": VOICE_NEEDS_SOUND,
    "voice_needs_name": VOICE_NEEDS_NAME,
    "voice_needs_consent": VOICE_NEEDS_CONSENT,
    "hint_too_short": "{length}: too short. Record at least 5 seconds.",
    "hint_short": "{length}: short. 5 to 20 seconds sound closer to the speaker.",
    "hint_long": "{length}: long. Only the first 20 seconds help; cut the rest.",
    "hint_length_good": "{length}: a good length.",
    "hint_clipped": "Too loud: the recording is distorted. Move away from the microphone.",
    "hint_quiet": "Too quiet. Move closer to the microphone.",
    "hint_level_good": "Good level.",
    "hint_noisy": "Noise or music in the background. Record in a quiet room.",
    "hint_noise_good": "Little noise.",
    "hint_unreadable": "The browser cannot read this file. WAV, FLAC, Ogg and MP3 work.",
    "result_done": "done",
    "result_cancelled": "stopped by the client",
    "result_failed": "failed",
    "result_refused": "refused",
    "play": "Play",
    "pause": "Pause",
    "position": "position",
    "spectrogram": "spectrogram",
    "m_first_audio": "Time to first audio",
    "m_length": "Audio length",
    "m_total": "Total time",
    "m_speed": "Speed",
    "m_underruns": "Underruns",
    "m_seed": "Seed",
    "m_queue": "Queue time",
    "m_reference": "Voice",
    "m_semantic": "Language model",
    "m_synthesis": "Codec decoding",
    "download": DOWNLOAD,
    "reuse_seed": "Reuse this seed",
    "preview": PREVIEW,
    "history": "History",
    "no_history": "Generated speech is kept here, in this browser only.",
    "delete_all": "Delete all",
    "delete_all_confirm": "Delete all speech in the history of this browser?",
    "delete": "Delete",
    "use_text": "Use text",
    "reference_recording": "reference recording",
    "default_voice": VOICE_DEFAULT,
    "select_for_comparison": "Compare",
    "compare": "Compare blind",
    "compare_hint": "Two takes in random order. Listen to both, then choose the better one.",
    "prefer": "Prefer {letter}",
    "no_difference": "No difference",
    "close": "Close",
    "you_prefer": "You prefer: {name}",
    "no_preference": "No difference. Both names are shown.",
    "insert_tag": "Insert a tag",
    "more_tags": "{n} more",
    "tags": [
        ["[pause:0.5s]", "half a second of silence"],
        ["[speed:1.2]", "faster from here on; [speed:1] restores the normal speed"],
        ["[pitch:+2]", "two semitones higher from here on; [pitch:0] restores the normal pitch"],
        ["[voice:]", "another voice from here on: add its name after the colon"],
        ["[tomato](/təˈmɑːtoʊ/)", "a pronunciation in IPA"],
    ],
    "emotions_known": "Tags of this model",
    "emotions_some": "The loaded checkpoint (“{family}”) supports these tags. Click one to insert it into the text.",
    "emotions_none": "The loaded checkpoint (“{family}”) was trained without emotion tags. "
    "A tag in the text is left out and listed below the speech; it is never read aloud.",
    "emotions_unknown": "Unsupported tags",
    "emotions_unknown_text": "Any other tag in brackets is removed from the text and listed in the response. "
    "Checkpoints of the openaudio-s1 family support about sixty emotions, tones and sounds; s2 accepts free "
    "descriptions. With one of them loaded, this page lists its tags.",
    "tags_title": "Tags that work with every model",
    "tags_text": "The engine applies these itself while “Markup” is set to “markup” under Advanced settings, "
    "as it is at first.",
    "group_emotions": "Emotions",
    "group_shades": "Shades",
    "group_tones": "Tones",
    "group_sounds": "Sounds",
    "group_pauses": "Pauses",
    "voices": "Voices",
    "find_voice": "Search voices",
    "no_voices": "No matching voice.",
    "added_by_you": "added by you",
    "new_name": "New name of the voice",
    "remove": "Remove",
    "rename": "Rename",
    "remove_confirm": "Remove “{name}” and its recording?",
    "similarity": "Similarity",
    "measuring_similarity": "Generating a sentence to compare…",
    "similarity_result": "{name}: similarity {value} of 1 between the recording and a new take.",
    "health": "Health",
    "is_up": "The backend is running.",
    "load": "Load",
    "chart_cpu": "CPU",
    "chart_memory": "Memory",
    "chart_active": "Active requests",
    "chart_gpu": "GPU",
    "chart_gpu_memory": "GPU memory",
    "caches": "Caches",
    "clear_caches": "Clear",
    "cleared": "{n} entries cleared.",
    "cache": "Cache",
    "entries": "Entries",
    "size": "Size",
    "hit_rate": "Hit rate",
    "optimizations": "Optimizations",
    "state": "State",
    "optimization": "Optimization",
    "why": "Reason",
    "is_on": "on",
    "is_off": "off",
    "requests": "Recent requests",
    "no_request_history": "This backend keeps no list of requests.",
    "r_id": "Request",
    "r_endpoint": "Endpoint",
    "r_voice": "Voice",
    "r_length": "Audio length",
    "r_first_audio": "First audio",
    "r_rtf": "Real-time factor",
    "r_queue": "Queue time",
    "r_result": "Result",
    "h_model": "Model",
    "h_codec": "Codec",
    "frames_per_second": "frames per second",
    "h_device": "Device",
    "h_why": "Reason for this device",
    "h_torch": "PyTorch",
    "threads": "threads: {n}",
    "h_version": "Version",
    "h_up": "Uptime",
    "h_rtf": "Real-time factor, median",
    "h_first": "Time to first audio, median",
    "codec": "Codec",
    "codec_hint": "Upload or record audio. It is encoded to codes and decoded back to audio.",
    "codec_needs_sound": "Upload or record audio first.",
    "codec_running": "Encoding and decoding…",
    "codec_done": "Done: {kbps} kbps. Move the slider to lower the bitrate.",
    "codebooks": "Codebooks",
    "all_codebooks": "all",
    "codebooks_of": "{n} of {all}",
    "before": "Original",
    "after": "Decoded",
    "codes": "Codes",
    "codes_text": "One row per codebook, one column per frame; the color shows the code.",
    "code_map": "Heat map of the codes",
    "c_codec": "Codec",
    "c_bitrate": "Bitrate",
    "c_size": "Code file",
    "c_source": "Audio file",
    "c_frames": "Frames",
    "c_encoding": "Encoding",
    "c_decoding": "Decoding",
    "save_codes": "Download codes (.pgc)",
    "save_after": "Download audio (.wav)",
    "new_job": "New audiobook or long text",
    "long_text": "Long text",
    "long_text_hint": "A chapter, an article or a book. A line that starts with # starts a chapter.",
    "document": "Or a text, Markdown or EPUB file",
    "job_title": "Title",
    "job_format": "File format",
    "start_job": "Generate in the background",
    "job_started": "Started. The job continues when this page is closed.",
    "job_needs_text": "Enter a text or choose a file first.",
    "jobs": "Audiobooks",
    "no_jobs": "No audiobooks yet.",
    "untitled": "Untitled",
    "open_job": "Open",
    "delete_job_confirm": "Delete “{title}” and all its audio?",
    "sentences": "Sentences",
    "more_sentences": "{n} more",
    "progress": "Sentences generated",
    "do_pause": "Pause",
    "do_resume": "Resume",
    "do_cancel": "Cancel",
    "job_waiting": "queued",
    "job_speaking": "generating",
    "job_writing": "writing the file",
    "job_paused": "paused",
    "job_done": "done",
    "job_failed": "failed",
    "job_cancelled": "cancelled",
    "is_waiting": "queued",
    "is_speaking": "generating…",
    "is_skipped": "skipped:",
    "regenerate": "Regenerate",
    "edit": "Edit",
    "edit_sentence": "Text of sentence {n}",
    "save_and_generate": "Save and regenerate",
    "cancel_edit": "Cancel",
    "play_all": "Play all",
    "stop_playing": "Stop playing",
    "time_left": "about {time} left",
    "skipped_sentences": "{n} skipped: sentence {list}. Edit or regenerate them to include them.",
    "undo": "Undo",
    "redo": "Redo",
    "take_name": "take {n}, seed {seed}",
}

# The music page.
MUSIC_HINT = "Describe the music: genre, mood, instruments, key, tempo, meter. The same seed gives the same piece."
MUSIC_PROMPT = "Description"
MUSIC_PROMPT_HINT = "Upbeat jazz with saxophone"
MUSIC_EXAMPLES = (
    "Upbeat jazz with saxophone",
    "Calm piano in A minor, 72 bpm",
    "Epic orchestral in D minor",
    "Fast rock with electric guitar, 140 bpm",
    "Bossa nova with flute and guitar",
    "Slow waltz for strings",
)
MUSIC_DURATION = "Duration (seconds)"
MUSIC_SEED = "Seed"
MUSIC_TEMPO = "Tempo (bpm; empty: from the description)"
MUSIC_KEY = "Key (empty: from the description)"
MUSIC_METER = "Meter"
FROM_DESCRIPTION = "From the description"
MUSIC_MAKE = "Make music"
MUSIC_ANOTHER = "Another version"
MUSIC_SOUND = "Music"
MUSIC_EARLIER = "Earlier pieces"
MUSIC_COMPARED = "Compare with"
MUSIC_FILES = "Prepare stems and MIDI"
MUSIC_NOT_UNDERSTOOD = "Not understood:"
MUSIC_EMPTY = "Describe the music first."
MUSIC_KEYS = tuple(
    f"{tonic} {mode}"
    for mode in ("major", "minor")
    for tonic in ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
)
