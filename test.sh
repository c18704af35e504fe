#!/usr/bin/env bash
# Installs the test tools if needed, then runs the fast suite; `bash test.sh all` runs all tests.
exec bash "$(dirname "${BASH_SOURCE[0]}")/start.sh" test "$@"
