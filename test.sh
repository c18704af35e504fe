#!/usr/bin/env bash
# Set up the test tools if needed, then run the fast suite; `bash test.sh all` runs everything.
exec bash "$(dirname "${BASH_SOURCE[0]}")/start.sh" test "$@"
