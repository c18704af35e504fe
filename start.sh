#!/usr/bin/env bash
# Set up if needed, then start; `bash start.sh --help` lists the verbs.
if ! command -v python3 >/dev/null; then
    echo "phonogram: no python3 here. Install Python 3.10 to 3.13 and run this again." >&2
    exit 1
fi
PHONOGRAM_PROGRAM="bash start.sh" exec python3 "$(dirname "${BASH_SOURCE[0]}")/launch.py" "$@"
