"""The Jobs page: books and articles spoken in the background, with their progress, and sentence by sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from ui import labels
from ui.client import BackendClient, BackendError
from ui.health_table import uptime_text
from ui.markdown import plain_text
from ui.media_types import media_type
from ui.speech import situation

LOOK_EVERY_S = 2.0
TOLD, HEARD, REVIEWABLE = "jobs-told", "jobs-heard", "jobs-reviewable"
FORMATS = ("m4b", "mp3", "opus", "flac", "wav")
DOCUMENTS = ["txt", "md", "epub"]
SENTENCES_A_PAGE = 10
# What a state looks like, and what can be done in it.
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
    """Draw the page; the list keeps itself up to date while someone looks."""
    st.title("Jobs")
    st.caption("A job goes on when this page is closed, and after a restart of the server where it stopped.")
    told: str | None = st.session_state.pop(TOLD, None)
    if told:
        st.success(told, icon=":material/check_circle:")
    _show_new(client)
    _show_list(client)
    _show_review(client)


def _show_new(client: BackendClient) -> None:
    now = situation(client)
    names = {"": labels.VOICE_DEFAULT, **{one.id: one.name for one in now.voices}}
    with st.expander("New job", icon=":material/add:"), st.form("new-job", enter_to_submit=False):
        text = st.text_area(labels.TEXT, placeholder="# First chapter\n\nOnce upon a time…", height=120)
        document = st.file_uploader("Or a document (text, Markdown, EPUB)", type=DOCUMENTS)
        left, right = st.columns(2)
        options: dict[str, Any] = {
            "title": left.text_input("Title"),
            "author": right.text_input("Author"),
            "voice": left.selectbox(labels.VOICE, list(names), format_func=names.__getitem__),
            "format": right.selectbox(labels.CHOICES["format"], FORMATS, help="m4b carries chapters."),
            "seed": left.text_input(labels.SEED).strip(),
            "speed": right.number_input(labels.NUMBERS["speed"], 0.25, 4.0, 1.0, step=0.05),
        }
        is_sent = st.form_submit_button("Start the job", type="primary", icon=":material/play_arrow:")
    if not is_sent:
        return
    if bool(text.strip()) == (document is not None):
        st.error("Write a text or choose a document, one of them.", icon=":material/error:")
        return
    content = document.getvalue() if document is not None else b""
    _do(partial(client.create_job, text, content, options), "The job is started.")


@st.fragment(run_every=LOOK_EVERY_S)
def _show_list(client: BackendClient) -> None:
    try:
        jobs = client.jobs()
    except BackendError as error:
        st.error(str(error), icon=":material/error:")
        return
    _draw_all_once_there_is_more_to_review(jobs)
    st.header(f"All jobs ({len(jobs)})")
    if not jobs:
        st.caption("None yet.")
    for job in jobs:
        with st.container(border=True):
            _show_job(client, job)


def _draw_all_once_there_is_more_to_review(jobs: Sequence[Job]) -> None:
    """Only this list is drawn anew by itself; the sentences below it are not."""
    now = {job["id"] for job in jobs if job["n_done"]}
    before = st.session_state.get(REVIEWABLE)
    st.session_state[REVIEWABLE] = now
    if before is not None and before != now:
        st.rerun()


def _show_job(client: BackendClient, job: Job) -> None:
    icon, color = BADGES.get(job["state"], ("", "gray"))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain_text(job['title'] or 'Untitled')}**", width="content")
        st.badge(job["state"], icon=icon or None, color=color)
    share = job["n_done"] / job["n_sentences"] if job["n_sentences"] else 0.0
    st.progress(share, f"{job['n_done']} of {job['n_sentences']} sentences, {uptime_text(job['audio_s'])} of sound")
    if job["reason"]:
        st.caption(job["reason"])
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
        # The list above has said so.
        return
    if not jobs:
        return
    st.header("Sentence by sentence")
    titles = {job["id"]: f"{job['title'] or 'Untitled'} ({job['state']})" for job in jobs}
    left, right = st.columns([3, 1])
    chosen = left.selectbox("Job", list(titles), format_func=titles.__getitem__)
    n_pages = max(1, -(-next(job["n_sentences"] for job in jobs if job["id"] == chosen) // SENTENCES_A_PAGE))
    page = right.number_input(f"Page of {n_pages}", 1, n_pages, 1)
    try:
        found = client.job(chosen, (int(page) - 1) * SENTENCES_A_PAGE, SENTENCES_A_PAGE)
    except BackendError as error:
        st.error(str(error), icon=":material/error:")
        return
    for sentence in found["sentences"]:
        with st.container(border=True):
            _show_sentence(client, chosen, sentence)


def _show_sentence(client: BackendClient, job_id: str, sentence: Mapping[str, Any]) -> None:
    index, place = sentence["index"], f"{job_id}-{sentence['index']}"
    st.markdown(f"{index + 1}. {plain_text(sentence['text'])}")
    if sentence["state"] != "done":
        st.caption(f"{sentence['state']} {sentence['reason']}")
        return
    heard: dict[str, bytes] = st.session_state.setdefault(HEARD, {})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        is_asked = st.button("Hear", key=f"hear-{place}", icon=":material/volume_up:")
        if st.button("Another take", key=f"take-{place}", icon=":material/replay:", help="Speaks it from another seed"):
            with st.spinner(labels.SPEAKING):
                _do(partial(_take_anew, client, job_id, index), f"Sentence {index + 1} has another take.")
        done = [take["take"] for take in sentence["takes"] if take["state"] == "done"]
        if len(done) > 1:
            key = f"pick-{place}-{len(done)}"
            st.selectbox(
                "Take", done, done.index(sentence["take"]), key=key, width=110, on_change=_choose,
                format_func=lambda take: str(take + 1), args=(client, job_id, index, key),
            )  # fmt: skip
    if is_asked:
        try:
            heard[place] = client.sentence_audio(job_id, index)
        except BackendError as error:
            st.error(str(error), icon=":material/error:")
    if place in heard:
        st.audio(heard[place], format="audio/flac", autoplay=is_asked)


def _take_anew(client: BackendClient, job_id: str, index: int) -> None:
    """A new take, heard from now on; the older ones stay."""
    take = client.new_take(job_id, index)
    client.choose_take(job_id, index, take["take"])
    st.session_state.setdefault(HEARD, {}).pop(f"{job_id}-{index}", None)


def _choose(client: BackendClient, job_id: str, index: int, key: str) -> None:
    """Let the take be heard that was picked in the field of this key."""
    st.session_state.setdefault(HEARD, {}).pop(f"{job_id}-{index}", None)
    try:
        client.choose_take(job_id, index, st.session_state[key])
    except BackendError as error:
        st.error(str(error), icon=":material/error:")


def _do(change: Callable[[], object], told: str) -> None:
    """Carry out a change and draw the page anew, or say why not."""
    try:
        change()
    except BackendError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.session_state[TOLD] = plain_text(told)
    st.rerun()
