#!/usr/bin/env bash
# Installs if needed, then starts; `bash start.sh --help` lists the verbs.
if ! command -v python3 >/dev/null; then
    echo "phonogram: python3 was not found. Install Python 3.10 to 3.13 and run this again." >&2
    exit 1
fi
PHONOGRAM_PROGRAM="bash start.sh" exec python3 "$(dirname "${BASH_SOURCE[0]}")/launch.py" "$@"
