"""The Batch page: synthesizes the texts of a file in parallel and packs the results into a zip file."""

from __future__ import annotations

import time

import streamlit as st

from ui import labels
from ui.batch import BatchError, BatchLine, BatchResult, read_lines, run_batch, zip_of
from ui.client import BackendClient
from ui.speech import backend_state
from ui.streamlit_pages.settings import show_settings

RESULTS, SOURCE = "batch-results", "batch-source"
EXAMPLE = 'text,voice,seed,name\n"Good morning, and welcome.",,7,greeting\nThe next train leaves at noon.,,7,train\n'
HINT = (
    "A text file has one text per line. A CSV file has a column `text`; optional columns are `name`, `voice`, `seed`, "
    "`speed` and any other field of `POST /tts`, which override the settings."
)


def show(client: BackendClient) -> None:
    """Draw the page. Results stay until another file is uploaded; stopping keeps the finished ones."""
    st.title("Batch")
    state = backend_state(client)
    if not state.is_ready:
        st.warning(state.message, icon=":material/warning:")
    options = show_settings(state)
    st.markdown(HINT)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        upload = st.file_uploader("Texts (CSV or TXT)", type=["csv", "txt"])
    st.download_button(
        "Example file", EXAMPLE, "texts.csv", "text/csv", on_click="ignore", icon=":material/description:"
    )
    if upload is None:
        return
    try:
        lines = read_lines(upload.name, upload.getvalue(), state.settings)
    except BatchError as error:
        st.error(str(error), icon=":material/error:")
        return
    format = options.get("format") or "wav"
    source = (upload.file_id, format)
    if st.session_state.get(SOURCE) != source:
        st.session_state[SOURCE], st.session_state[RESULTS] = source, {}
    results: dict[int, BatchResult] = st.session_state[RESULTS]
    missing = [index for index in range(len(lines)) if index not in results or results[index].audio is None]
    if missing:
        label = f"{labels.SPEAK} {len(missing)} of {len(lines)}"
        if st.button(label, type="primary", icon=":material/play_arrow:", disabled=not state.is_ready):
            _run_missing(client, lines, missing, options, results)
            st.rerun()
    _show_results(lines, results, format)


def _run_missing(
    client: BackendClient, lines: list[BatchLine], missing: list[int], options: dict, results: dict[int, BatchResult]
) -> None:
    # A click interrupts the loop, as in any Streamlit script; finished results are kept.
    st.button("Stop", icon=":material/stop:")
    bar, start_s = st.progress(0.0, labels.SPEAKING), time.monotonic()
    for count, (position, result) in enumerate(run_batch(client, [lines[index] for index in missing], options), 1):
        results[missing[position]] = result
        left_s = (time.monotonic() - start_s) / count * (len(missing) - count)
        bar.progress(count / len(missing), f"{count} of {len(missing)}, about {left_s:.0f} s left")


def _show_results(lines: list[BatchLine], results: dict[int, BatchResult], format: str) -> None:
    finished = [result for result in results.values() if result.audio is not None]
    failed = [result for result in results.values() if result.audio is None]
    if failed:
        st.error(f"{len(failed)} of {len(lines)} failed; the table gives the reasons.", icon=":material/error:")
    if finished:
        seconds = sum(float(result.headers.get("x-audio-seconds", 0)) for result in finished)
        st.success(
            f"{len(finished)} of {len(lines)} finished: {seconds:.1f} s of audio.", icon=":material/check_circle:"
        )
        archive = zip_of([results[index] for index in sorted(results)], format)
        st.download_button(
            "Download all (zip)", archive, "speeches.zip", "application/zip", on_click="ignore", type="primary",
            icon=":material/download:",
        )  # fmt: skip
    st.dataframe(
        [
            {"File": line.name, "Text": line.text, **_options(line), "Status": _status(results.get(k))}
            for k, line in enumerate(lines)
        ],
        hide_index=True,
    )


def _options(line: BatchLine) -> dict[str, str]:
    """Return the line's options under the labels of the settings."""
    names = {"voice": labels.VOICE, "seed": labels.SEED_SHORT, **labels.SETTINGS}
    return {names.get(field, field): value for field, value in line.options.items()}


def _status(result: BatchResult | None) -> str:
    if result is None:
        return "queued"
    return f"{result.headers.get('x-audio-seconds', '?')} s" if result.audio is not None else result.message
