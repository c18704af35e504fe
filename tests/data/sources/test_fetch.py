import hashlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from backend.data.manifest import read_clips
from backend.data.sources.catalog import SOURCES, data_source
from backend.data.sources.fetch import fetch
from backend.data.sources.layouts import license_name
from backend.data.sources.prepare import PrepareOptions, prepare, without_silence
from backend.data.sources.transfer import DownloadSession
from backend.data.sources.xeno_canto import BirdQuery, download_recordings
from backend.errors import BadSettings, NotAvailable
from tests.support.archives import split_zip_parts, tar_bytes, zip_bytes
from tests.support.file_server import file_server


def wav(seconds: float = 0.6, rate_hz: int = 16_000, level: float = 0.2, format: str = "WAV") -> bytes:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    buffer = io.BytesIO()
    soundfile.write(buffer, level * np.sin(2 * np.pi * 440 * time_s), rate_hz, format=format)
    return buffer.getvalue()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def server():
    with file_server() as served:
        yield served


def run(server, name, folder, parts=None):
    source = data_source(name)
    return fetch(
        source, folder, parts or source.default_parts, DownloadSession(server.url, retry_delays_s=()), lambda *_: None
    )


def manifest(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_esc50(server, tmp_path):
    table = "filename,fold,target,category,esc10,src_file,take\n1-a.wav,1,0,dog,True,17,A\n5-b.wav,5,1,sea_waves,False,18,B\n"
    members = {"meta/esc50.csv": table.encode(), "audio/1-a.wav": wav(), "audio/5-b.wav": wav()}
    server.files["/karolpiczak/ESC-50/archive/master.zip"] = zip_bytes(
        {f"ESC-50-master/{name}": content for name, content in members.items()}
    )
    found = run(server, "esc-50", tmp_path)
    assert (found.n_recordings, found.n_missing) == (2, 0)
    assert found.licenses == {"CC-BY-3.0": 1, "CC-BY-NC-3.0": 1}
    rows = manifest(tmp_path)
    assert [(row["class"], row["split"]) for row in rows] == [("dog", "train"), ("sea waves", "heldout")]
    assert "https://freesound.org/s/18/" in (tmp_path / "NOTICE").read_text()
    assert len(read_clips(tmp_path)) == 2
    n_requests = len(server.requests)
    run(server, "esc-50", tmp_path)
    assert len(server.requests) == n_requests and not (tmp_path / "downloads" / "ESC-50-master.zip").exists()


def test_fsd50k_with_split_archives_and_licenses_per_clip(server, tmp_path, monkeypatch):
    parts = split_zip_parts({f"FSD50K.dev_audio/{i}.wav": wav() for i in range(4)}, 2_000)
    names = [f"FSD50K.dev_audio.z0{i + 1}" for i in range(len(parts) - 1)] + ["FSD50K.dev_audio.zip"]
    assert len(parts) <= 6
    files = dict(zip(names, parts, strict=True))
    files["FSD50K.ground_truth.zip"] = zip_bytes(
        {"FSD50K.ground_truth/dev.csv": b"fname,labels,mids,split\n1,Bird_call,x,train\n"}
    )
    info = {"1": {"license": "http://creativecommons.org/licenses/by/3.0/", "uploader": "ann"},
            "2": {"license": "http://creativecommons.org/publicdomain/zero/1.0/", "uploader": "bob"}}  # fmt: skip
    files["FSD50K.metadata.zip"] = zip_bytes({"FSD50K.metadata/dev_clips_info_FSD50K.json": json.dumps(info).encode()})
    listing = [
        {"key": name, "size": len(content), "checksum": f"md5:{md5(content)}"} for name, content in files.items()
    ]
    server.files["/api/records/4060432"] = json.dumps({"files": listing}).encode()
    server.files |= {f"/records/4060432/files/{name}": content for name, content in files.items()}
    source = data_source("fsd50k")
    fewer = {"dev": tuple(f for f in source.parts["dev"] if f.name in files), "metadata": source.parts["metadata"]}
    monkeypatch.setitem(SOURCES, "fsd50k", replace(source, parts=fewer))
    found = run(server, "fsd50k", tmp_path, ("dev", "metadata"))
    assert found.n_recordings == 4
    assert found.licenses == {"CC-BY-3.0": 1, "CC0-1.0": 1, "unknown": 2}
    assert manifest(tmp_path)[1] == {
        "file": "FSD50K.dev_audio/1.wav", "license": "CC-BY-3.0", "author": "ann", "source": "https://freesound.org/s/1/",
        "speaker": "", "split": "train", "id": "fsd50k/FSD50K.dev_audio/1.wav", "class": "Bird call",
    }  # fmt: skip


def test_a_file_zenodo_does_not_list(server, tmp_path):
    server.files["/api/records/4060432"] = b'{"files": []}'
    with pytest.raises(NotAvailable, match="does not list FSD50K"):
        run(server, "fsd50k", tmp_path)


def test_librispeech_and_urbansound8k(server, tmp_path, monkeypatch):
    speech = tar_bytes({"LibriSpeech/dev-clean/84/121123/84-121123-0000.flac": wav(format="FLAC")})
    city_table = b"slice_file_name,fsID,start,end,salience,fold,classID,class\n7-3-0-0.wav,7,0,1,1,10,3,dog_bark\n"
    city = tar_bytes(
        {"UrbanSound8K/metadata/UrbanSound8K.csv": city_table, "UrbanSound8K/audio/fold10/7-3-0-0.wav": wav()}
    )
    server.files["/resources/12/dev-clean.tar.gz"] = speech
    server.files["/records/1203745/files/UrbanSound8K.tar.gz"] = city
    for name, content in (("librispeech", speech), ("urbansound8k", city)):
        source = data_source(name)
        part = source.default_parts[0]
        file = source.parts[part][0]
        own = type(file)(file.name, file.url, f"md5:{md5(content)}")
        monkeypatch.setitem(source.parts, part, (own,))
        run(server, name, tmp_path / name)
    assert manifest(tmp_path / "librispeech")[0]["speaker"] == "84"
    row = manifest(tmp_path / "urbansound8k")[0]
    assert (row["class"], row["split"], row["license"]) == ("dog bark", "heldout", "CC-BY-NC-3.0")


def test_bird_audio_detection(server, tmp_path):
    archive = zip_bytes({"wav/101.wav": wav(), "wav/105.wav": wav()})
    entry = {"name": "ff1010bird_wav.zip", "md5": md5(archive), "size": str(len(archive))}
    server.files |= {
        "/download/ff1010bird/ff1010bird_wav.zip": archive,
        "/metadata/ff1010bird": json.dumps({"files": [entry]}).encode(),
        "/files/10853303": b"itemid,datasetid,hasbird\n101,ff1010bird,1\n105,ff1010bird,0\n999,ff1010bird,1\n",
    }
    found = run(server, "bird-audio-detection", tmp_path, ("ff1010bird",))
    assert (found.n_recordings, found.n_missing) == (2, 1)
    assert [(row["class"], row["split"]) for row in manifest(tmp_path)] == [("bird", "train"), ("no bird", "heldout")]


def test_fsc22_is_read_from_files_downloaded_by_hand(server, tmp_path):
    with pytest.raises(NotAvailable, match=r"kaggle\.com.*run this command again"):
        run(server, "fsc22", tmp_path)
    (tmp_path / "Metadata V1.0 FSC22.csv").write_text(
        "Source File Name,Dataset File Name,Class ID,Class Name\n17A.wav,1_1.wav,1,Fire\n"
    )
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "1_1.wav").write_bytes(wav())
    assert run(server, "fsc22", tmp_path).n_recordings == 1


def test_unknown_names_and_parts(server, tmp_path):
    with pytest.raises(BadSettings, match=r"known are esc-50, .*xeno-canto"):
        data_source("esc50")
    with pytest.raises(BadSettings, match="its parts are"):
        run(server, "librispeech", tmp_path, ("train-clean-5",))
    assert all(source.license and source.page.startswith("https://") for source in SOURCES.values())


def xeno_canto_server(server, n_pages=2):
    for page in range(1, n_pages + 1):
        row = {"id": str(page), "gen": "Turdus", "sp": "merula", "rec": "Ann", "cnt": "Spain",
               "lic": "//creativecommons.org/licenses/by-nc-sa/4.0/",
               "file": f"https://xeno-canto.org/{page}/download", "file-name": f"XC{page} blackbird.MP3"}  # fmt: skip
        answer = {"numRecordings": str(n_pages), "numPages": n_pages, "page": page, "recordings": [row]}
        query = "gen%3A%22Turdus%22%20sp%3A%22merula%22%20cnt%3A%22Spain%22%20q%3A%22%3ED%22"
        server.files[f"/api/3/recordings?query={query}&key=k&per_page=100&page={page}"] = json.dumps(answer).encode()
        server.files[f"/{page}/download"] = wav(format="MP3")


def test_xeno_canto_by_species_and_country(server, tmp_path):
    xeno_canto_server(server)
    session, query = DownloadSession(server.url, ()), BirdQuery("Turdus merula", "Spain")
    assert download_recordings(tmp_path, query, "k", session, interval_s=0) == 2
    assert download_recordings(tmp_path, query, "k", session, interval_s=0) == 0
    from backend.data.sources.fetch import write_manifest

    found = write_manifest(data_source("xeno-canto"), tmp_path)
    assert found.licenses == {"CC-BY-NC-SA-4.0": 2}
    assert manifest(tmp_path)[0]["file"] == "audio/XC1.mp3" and manifest(tmp_path)[0]["author"] == "Ann"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (BirdQuery(), "Neither"),
        (BirdQuery("Turdus merula", quality="F"), "from A"),
        (BirdQuery('a" or "b'), "quotation"),
    ],
)
def test_wrong_queries(tmp_path, query, message):
    with pytest.raises(BadSettings, match=message):
        download_recordings(tmp_path, query, "k", DownloadSession(), interval_s=0)


def test_xeno_canto_without_a_key_or_results(server, tmp_path):
    with pytest.raises(NotAvailable, match="XENO_CANTO_KEY"):
        download_recordings(tmp_path, BirdQuery("Wren"), "", DownloadSession(server.url, ()))
    server.files["/api/3/recordings"] = b'{"numRecordings": "0", "numPages": 1, "recordings": []}'
    with pytest.raises(NotAvailable, match="no recordings"):
        download_recordings(tmp_path, BirdQuery("Wren"), "k", DownloadSession(server.url, ()), interval_s=0)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://creativecommons.org/licenses/by-nc/3.0/", "CC-BY-NC-3.0"),
        ("//creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("http://creativecommons.org/licenses/sampling+/1.0/", "CC-Sampling+-1.0"),
        ("own terms", "own terms"),
    ],
)
def test_license_names(address, name):
    assert license_name(address) == name


def test_prepare_normalizes_and_sets_damaged_files_aside(tmp_path):
    source, out = tmp_path / "raw", tmp_path / "out"
    for name, content in {
        "a/loud.wav": wav(2.5, 44_100, 0.5), "b/quiet.flac": wav(1.0, 16_000, 0.01, "FLAC"),
        "b/song.mp3": wav(1.0, 32_000, 0.3, "MP3"), "bad.wav": b"RIFF" + b"x" * 400, "short.wav": wav(0.1),
    }.items():  # fmt: skip
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    options = PrepareOptions(rate_hz=24_000, segment_s=1.0)
    made = prepare(source, out, options)
    assert (made.n_pieces, made.n_rejected) == (4, 2)  # 2.5 s become two pieces of 1.25 s
    for row in manifest(out):
        samples, rate_hz = soundfile.read(out / row["file"])
        assert rate_hz == 24_000 and samples.ndim == 1
    loudest = max(np.abs(soundfile.read(path)[0]).max() for path in (out / "audio").glob("b-quiet*"))
    assert loudest == pytest.approx(10 ** (-1 / 20), abs=1e-3)
    reasons = (out / "rejected.jsonl").read_text()
    assert "bad.wav" in reasons and "0.10 s of sound" in reasons
    before = (out / "manifest.jsonl").read_bytes()
    assert prepare(source, out, options) == made and (out / "manifest.jsonl").read_bytes() == before


def test_prepare_chooses_by_license_and_split(tmp_path):
    source = tmp_path / "raw"
    source.mkdir()
    rows = []
    for name, license, split in (
        ("a", "CC-BY-4.0", "train"),
        ("b", "CC-BY-NC-4.0", "train"),
        ("c", "CC0-1.0", "heldout"),
        ("d", "CC0-1.0", "train"),
    ):
        (source / f"{name}.wav").write_bytes(wav())
        rows.append({"file": f"{name}.wav", "id": name, "license": license, "split": split, "author": "ann"})
    (source / "manifest.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    prepare(source, tmp_path / "out", PrepareOptions(licenses=("CC-BY", "CC0"), split="train"))
    assert [(row["recording"], row["license"], row["author"]) for row in manifest(tmp_path / "out")] == [
        ("a", "CC-BY-4.0", "ann"), ("d", "CC0-1.0", "ann"),
    ]  # fmt: skip
    with pytest.raises(BadSettings, match="expected another one"):
        prepare(source, source, PrepareOptions())


def test_silence_is_dropped():
    tone = 0.1 * np.ones(480, np.float32)
    samples = np.concatenate([tone, np.zeros(960, np.float32), tone])
    assert np.array_equal(without_silence(samples, 24_000, -80.0), np.concatenate([tone, tone]))
