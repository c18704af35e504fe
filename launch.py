"""Set up and run Phonogram. Needs only Python; `start.sh`, `test.sh` and the .bat files call this file.

Everything is installed into `.venv` beside this file; `launcher/` has the steps.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from launcher.children import child_environment, usable_cores
from launcher.place import IS_WINDOWS, ROOT, SetupError
from launcher.setup import set_up
from launcher.start import part_of, start

TEST_EXTRAS = ("ui", "train", "dev")
MAX_TEST_PROCESSES = 4
NO_BROWSER = "--no-browser"
# Tests whose results depend on the processor's vector instructions.
NUMERIC_TESTS = tuple(
    f"tests/{name}" for name in ("nn", "codec", "lm", "optimize", "compression", "golden", "weights", "metrics")
)

HELP = """Phonogram: an engine for audio tokens.

usage: {program} [verb]

  (no verb)          install if needed, then start the backend and the Gradio page
  --no-browser       after start: do not open the page in a browser
  start [part]       start one part: backend, gradio or streamlit. A page uses a running backend,
                     or starts one
  setup [extra ...]  install only; extras: ui gpu train eval hub cluster dev (default: ui)
  test [all] [...]   install the test tools and run the fast suite; all adds the slow, browser, load and fault tests;
                     further arguments are passed to pytest
  anything else      is passed to the command line tool: {program} info speech.pgc

Settings: copy .env.example to .env. The first installation takes a few minutes and about 2 GB of disk
(about 8 GB with an NVIDIA GPU); later starts take seconds. Stop everything with Ctrl-C.
"""


def main(arguments: list[str]) -> int:
    """Run one verb; returns the exit status."""
    # `launch.py --no-browser` is short for `launch.py start --no-browser`.
    verb, *rest = ["start", *arguments] if not arguments or arguments[0] == NO_BROWSER else arguments
    if verb in ("-h", "--help", "help"):
        print(HELP.format(program=os.environ.get("PHONOGRAM_PROGRAM", "python launch.py")), end="")
        return 0
    try:
        if verb == "setup":
            set_up(rest or ["ui"])
            return 0
        if verb == "start":
            opens_browser = NO_BROWSER not in rest
            part = part_of([one for one in rest if one != NO_BROWSER])
            return start(part, set_up(["ui"]), opens_browser)
        if verb == "test":
            return run_tests(rest)
        python = set_up(["train"] if verb == "train" else [])
        return run_tool([str(python.with_name("phonogram" + python.suffix)), verb, *rest])
    except SetupError as error:
        print(f"\nphonogram: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nphonogram: interrupted; the same command continues where this one stopped.", file=sys.stderr)
        return 130


def run_tool(command: list[str]) -> int:
    """Replace this process by `command`; on Windows, run it and wait."""
    if not IS_WINDOWS:
        os.execve(command[0], command, child_environment())
    return subprocess.call(command, env=child_environment())


def run_tests(arguments: list[str]) -> int:
    python = set_up(TEST_EXTRAS)
    # The suite's tensors are tiny: a second thread costs more than it brings.
    environment = child_environment(n_threads=1)
    command = [str(python), "-m", "pytest", "-q"]
    parallel = ["-n", str(min(usable_cores(), MAX_TEST_PROCESSES)), "--dist", "loadfile"]
    if arguments[:1] != ["all"]:
        return subprocess.call([*command, *parallel, *arguments], cwd=ROOT, env=environment)
    # Slow, browser, load and fault tests measure or fill the machine, so they run one after the other.
    runs = ([*parallel], ["-m", "slow or browser or load or fault"])
    exit_codes = [subprocess.call([*command, *run, *arguments[1:]], cwd=ROOT, env=environment) for run in runs]
    for level in cpu_levels(python):
        print(f"phonogram: numeric tests with ATEN_CPU_CAPABILITY={level}", flush=True)
        variant = {**environment, "ATEN_CPU_CAPABILITY": level}
        exit_codes.append(subprocess.call([*command, *parallel, *NUMERIC_TESTS], cwd=ROOT, env=variant))
    return max(exit_codes)


def cpu_levels(python: Path) -> list[str]:
    """Return the values of ATEN_CPU_CAPABILITY that this processor can run, lowest first."""
    script = "import torch; print(torch.backends.cpu.get_cpu_capability().lower())"
    clean = {name: value for name, value in os.environ.items() if name != "ATEN_CPU_CAPABILITY"}
    highest = subprocess.check_output([str(python), "-c", script], text=True, env=clean).strip()
    known = ("default", "avx2", "avx512")
    runnable = known[: known.index(highest) + 1] if highest in known else ("default",)
    print(f"phonogram: this processor runs {', '.join(runnable)} of {', '.join(known)}", flush=True)
    return list(runnable)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
