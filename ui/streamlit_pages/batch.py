"""The Batch page: a file of texts, spoken side by side, as one zip file."""

from __future__ import annotations

import time

import streamlit as st

from ui import labels
from ui.batch import BatchError, BatchLine, BatchResult, read_lines, run_batch, zip_of
from ui.client import BackendClient
from ui.speaking import situation
from ui.streamlit_pages.settings import show_settings

OUTCOMES, SOURCE = "batch-outcomes", "batch-source"
EXAMPLE = 'text,voice,seed,name\n"Good morning, and welcome.",,7,greeting\nThe next train leaves at noon.,,7,train\n'
HINT = (
    "A text file has one text a line. A CSV file has a column `text`; `name`, `voice`, `seed`, `speed` and any other "
    "field of `POST /tts` may stand beside it and go before the settings."
)


def show(client: BackendClient) -> None:
    """Draw the page. What was spoken stays until another file comes; stopping loses nothing that is done."""
    st.title("Batch")
    now = situation(client)
    if not now.can_speak:
        st.warning(now.state, icon=":material/warning:")
    options = show_settings(now)
    st.markdown(HINT)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        upload = st.file_uploader("Texts (CSV or TXT)", type=["csv", "txt"])
    st.download_button(
        "Example file", EXAMPLE, "texts.csv", "text/csv", on_click="ignore", icon=":material/description:"
    )
    if upload is None:
        return
    try:
        lines = read_lines(upload.name, upload.getvalue(), now.settings)
    except BatchError as error:
        st.error(str(error), icon=":material/error:")
        return
    format = options.get("format") or "wav"
    source = (upload.file_id, format)
    if st.session_state.get(SOURCE) != source:
        st.session_state[SOURCE], st.session_state[OUTCOMES] = source, {}
    done: dict[int, BatchResult] = st.session_state[OUTCOMES]
    missing = [index for index in range(len(lines)) if index not in done or done[index].audio is None]
    if missing:
        label = f"{labels.SPEAK} {len(missing)} of {len(lines)}"
        if st.button(label, type="primary", icon=":material/play_arrow:", disabled=not now.can_speak):
            _speak_missing(client, lines, missing, options, done)
            st.rerun()
    _show_outcomes(lines, done, format)


def _speak_missing(
    client: BackendClient, lines: list[BatchLine], missing: list[int], options: dict, done: dict[int, BatchResult]
) -> None:
    # Pressing it interrupts the loop, as any click does; what is done is kept.
    st.button("Stop", icon=":material/stop:")
    bar, began_s = st.progress(0.0, labels.SPEAKING), time.monotonic()
    for count, (place, outcome) in enumerate(run_batch(client, [lines[index] for index in missing], options), 1):
        done[missing[place]] = outcome
        left_s = (time.monotonic() - began_s) / count * (len(missing) - count)
        bar.progress(count / len(missing), f"{count} of {len(missing)}, about {left_s:.0f} s left")


def _show_outcomes(lines: list[BatchLine], done: dict[int, BatchResult], format: str) -> None:
    spoken = [outcome for outcome in done.values() if outcome.audio is not None]
    failed = [outcome for outcome in done.values() if outcome.audio is None]
    if failed:
        st.error(f"{len(failed)} of {len(lines)} were not spoken; the table says why.", icon=":material/error:")
    if spoken:
        seconds = sum(float(outcome.headers.get("x-audio-seconds", 0)) for outcome in spoken)
        st.success(
            f"{len(spoken)} of {len(lines)} are spoken: {seconds:.1f} s of sound.", icon=":material/check_circle:"
        )
        packed = zip_of([done[index] for index in sorted(done)], format)
        st.download_button(
            "Download all (zip)", packed, "speeches.zip", "application/zip", on_click="ignore", type="primary",
            icon=":material/download:",
        )  # fmt: skip
    st.dataframe(
        [
            {"File": line.name, "Text": line.text, **_named(line), "State": _state(done.get(k))}
            for k, line in enumerate(lines)
        ],
        hide_index=True,
    )


def _named(line: BatchLine) -> dict[str, str]:
    """Its own fields under the names the settings have."""
    named = {"voice": labels.VOICE, "seed": labels.SEED_SHORT, **labels.SETTINGS}
    return {named.get(field, field): value for field, value in line.options.items()}


def _state(outcome: BatchResult | None) -> str:
    if outcome is None:
        return "waiting"
    return f"{outcome.headers.get('x-audio-seconds', '?')} s" if outcome.audio is not None else outcome.message
