"""The Jobs page: background jobs for books and articles, with progress and sentence-level review."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from ui import labels
from ui.client import BackendClient, BackendError
from ui.health_table import duration_text
from ui.markdown import escape_markdown
from ui.media_types import media_type
from ui.speech import backend_state

REFRESH_S = 2.0
MESSAGE, PLAYING, REVIEWABLE = "jobs-message", "jobs-playing", "jobs-reviewable"
FORMATS = ("m4b", "mp3", "opus", "flac", "wav")
DOCUMENTS = ["txt", "md", "html", "xhtml", "epub"]
SENTENCES_PER_PAGE = 10
# Icon and color of each state, and the states that allow actions.
BADGES: dict[str, tuple[str, Any]] = {
    "waiting": (":material/schedule:", "gray"),
    "speaking": (":material/graphic_eq:", "blue"),
    "writing": (":material/save:", "blue"),
    "paused": (":material/pause:", "orange"),
    "cancelled": (":material/cancel:", "gray"),
    "failed": (":material/error:", "red"),
    "done": (":material/check:", "green"),
}
RUNNING, RESUMABLE = ("waiting", "speaking", "writing"), ("paused", "failed")

Job = Mapping[str, Any]


def show(client: BackendClient) -> None:
    """Draw the page; the list refreshes itself while the page is open."""
    st.title("Jobs")
    st.caption("A job continues when this page is closed, and resumes after a restart of the server.")
    message: str | None = st.session_state.pop(MESSAGE, None)
    if message:
        st.success(message, icon=":material/check_circle:")
    _show_new(client)
    _show_list(client)
    _show_review(client)


def _show_new(client: BackendClient) -> None:
    state = backend_state(client)
    names = {"": labels.VOICE_DEFAULT, **{one.id: one.name for one in state.voices}}
    with st.expander("New job", icon=":material/add:"), st.form("new-job", enter_to_submit=False):
        text = st.text_area(labels.TEXT, placeholder="# First chapter\n\nOnce upon a time…", height=120)
        document = st.file_uploader("Or a document (text, Markdown, HTML, EPUB)", type=DOCUMENTS)
        left, right = st.columns(2)
        options: dict[str, Any] = {
            "title": left.text_input("Title"),
            "author": right.text_input("Author"),
            "voice": left.selectbox(labels.VOICE, list(names), format_func=names.__getitem__),
            "format": right.selectbox(labels.CHOICES["format"], FORMATS, help="m4b supports chapters."),
            "seed": left.text_input(labels.SEED).strip(),
            "speed": right.number_input(labels.NUMBERS["speed"], 0.25, 4.0, 1.0, step=0.05),
        }
        is_sent = st.form_submit_button("Start job", type="primary", icon=":material/play_arrow:")
    if not is_sent:
        return
    if bool(text.strip()) == (document is not None):
        st.error("Enter a text or choose a document, not both.", icon=":material/error:")
        return
    content = document.getvalue() if document is not None else b""
    _do(partial(client.create_job, text, content, options), "Job started.")


@st.fragment(run_every=REFRESH_S)
def _show_list(client: BackendClient) -> None:
    try:
        jobs = client.jobs()
    except BackendError as error:
        st.error(str(error), icon=":material/error:")
        return
    _rerun_on_new_reviewable_jobs(jobs)
    st.header(f"All jobs ({len(jobs)})")
    if not jobs:
        st.caption("No jobs yet.")
    for job in jobs:
        with st.container(border=True):
            _show_job(client, job)


def _rerun_on_new_reviewable_jobs(jobs: Sequence[Job]) -> None:
    """Rerun the page when more jobs can be reviewed; only the list refreshes by itself."""
    current = {job["id"] for job in jobs if job["n_done"]}
    previous = st.session_state.get(REVIEWABLE)
    st.session_state[REVIEWABLE] = current
    if previous is not None and previous != current:
        st.rerun()


def _show_job(client: BackendClient, job: Job) -> None:
    icon, color = BADGES.get(job["state"], ("", "gray"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{escape_markdown(job['title'] or 'Untitled')}**", width="content")
        st.badge(job["state"], icon=icon or None, color=color)
    share = job["n_done"] / job["n_sentences"] if job["n_sentences"] else 0.0
    st.progress(share, f"{job['n_done']} of {job['n_sentences']} sentences, {duration_text(job['audio_s'])} of audio")
    if job["reason"]:
        st.caption(job["reason"])
    if job.get("left_out"):
        with st.expander(f"Not read ({len(job['left_out'])})", icon=":material/info:"):
            st.markdown("\n".join(f"- {escape_markdown(note)}" for note in job["left_out"]))
    with st.container(horizontal=True):
        if job["state"] in RUNNING:
            _button("Pause", ":material/pause:", job, lambda: client.pause_job(job["id"]))
            _button("Cancel", ":material/cancel:", job, lambda: client.cancel_job(job["id"]))
        elif job["state"] in RESUMABLE:
            _button("Resume", ":material/play_arrow:", job, lambda: client.resume_job(job["id"]))
        if job["state"] == "done":
            st.download_button(
                f"{labels.DOWNLOAD} ({job['file_bytes'] / 1e6:.1f} MB)", partial(client.job_audio, job["id"]),
                f"{job['title'] or 'book'}.{job['format']}", media_type(job["format"]), on_click="ignore",
                icon=":material/download:", key=f"download-{job['id']}", type="primary",
            )  # fmt: skip
        if job["state"] not in RUNNING:
            _button("Delete", ":material/delete:", job, lambda: client.delete_job(job["id"]))


def _button(label: str, icon: str, job: Job, change: Callable[[], object]) -> None:
    if st.button(label, key=f"{label.lower()}-{job['id']}", icon=icon):
        _do(change, f"“{job['title'] or 'Untitled'}”: {label.lower()}.")


def _show_review(client: BackendClient) -> None:
    try:
        jobs = [job for job in client.jobs() if job["n_done"]]
    except BackendError:
        # The list above shows the error.
        return
    if not jobs:
        return
    st.header("Sentences")
    titles = {job["id"]: f"{job['title'] or 'Untitled'} ({job['state']})" for job in jobs}
    left, right = st.columns([3, 1])
    chosen = left.selectbox("Job", list(titles), format_func=titles.__getitem__)
    n_pages = max(1, -(-next(job["n_sentences"] for job in jobs if job["id"] == chosen) // SENTENCES_PER_PAGE))
    page = right.number_input(f"Page of {n_pages}", 1, n_pages, 1)
    try:
        job = client.job(chosen, (int(page) - 1) * SENTENCES_PER_PAGE, SENTENCES_PER_PAGE)
    except BackendError as error:
        st.error(str(error), icon=":material/error:")
        return
    for sentence in job["sentences"]:
        with st.container(border=True):
            _show_sentence(client, chosen, sentence)


def _show_sentence(client: BackendClient, job_id: str, sentence: Mapping[str, Any]) -> None:
    index, place = sentence["index"], f"{job_id}-{sentence['index']}"
    st.markdown(f"{index + 1}. {escape_markdown(sentence['text'])}")
    if sentence["state"] != "done":
        st.caption(f"{sentence['state']} {sentence['reason']}")
        return
    playing: dict[str, bytes] = st.session_state.setdefault(PLAYING, {})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        is_pressed = st.button("Play", key=f"play-{place}", icon=":material/volume_up:")
        if st.button(
            "Regenerate", key=f"take-{place}", icon=":material/replay:", help="Generates another take with a new seed"
        ):
            with st.spinner(labels.SPEAKING):
                _do(partial(_regenerate, client, job_id, index), f"Sentence {index + 1} was regenerated.")
        done = [take["take"] for take in sentence["takes"] if take["state"] == "done"]
        if len(done) > 1:
            key = f"pick-{place}-{len(done)}"
            st.selectbox(
                "Take", done, done.index(sentence["take"]), key=key, width=110, on_change=_choose,
                format_func=lambda take: str(take + 1), args=(client, job_id, index, key),
            )  # fmt: skip
    if is_pressed:
        try:
            playing[place] = client.sentence_audio(job_id, index)
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
    if place in playing:
        st.audio(playing[place], format="audio/flac", autoplay=is_pressed)


def _regenerate(client: BackendClient, job_id: str, index: int) -> None:
    """Generate a new take and choose it; older takes are kept."""
    take = client.new_take(job_id, index)
    client.choose_take(job_id, index, take["take"])
    st.session_state.setdefault(PLAYING, {}).pop(f"{job_id}-{index}", None)


def _choose(client: BackendClient, job_id: str, index: int, key: str) -> None:
    """Choose the take selected in the field with this key."""
    st.session_state.setdefault(PLAYING, {}).pop(f"{job_id}-{index}", None)
    try:
        client.choose_take(job_id, index, st.session_state[key])
    except BackendError as error:
        st.error(str(error), icon=":material/error:")


def _do(change: Callable[[], object], message: str) -> None:
    """Apply a change and rerun the page, or show the error."""
    try:
        change()
    except BackendError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.session_state[MESSAGE] = escape_markdown(message)
    st.rerun()
