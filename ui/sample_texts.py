"""Sample texts of the Speak tab: names and texts."""

SAMPLE_TEXTS = [
    ["Greeting", "Hello, and welcome. This voice runs on your own computer."],
    [
        "Story",
        "The lighthouse keeper counted the waves until the fog came in. Then he lit the lamp, and waited for the boats.",
    ],
    ["News", "The city council met on Tuesday, March 3rd, and approved $2.5 million for 14 new bus routes."],
    ["Dialogue", "“Are you coming?” she asked. [pause:0.4s] “In a minute,” he said, and didn't move."],
]
