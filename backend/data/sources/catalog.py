"""The public datasets that `phonogram data` knows by name.

Checksums: LibriSpeech's are published by OpenSLR, UrbanSound8K's and FSD50K's by Zenodo (asked for at download), those
of the bird sets by the Internet Archive. GitHub publishes none for the archive of ESC-50, whose files carry CRCs.
"""

from __future__ import annotations

from backend.data.sources.layouts import (
    bird_audio_rows,
    esc50_rows,
    fsc22_rows,
    fsd50k_rows,
    librispeech_rows,
    urbansound8k_rows,
    xeno_canto_rows,
)
from backend.data.sources.listings import with_archive_checksums, with_zenodo_checksums, zenodo_file
from backend.data.sources.source import DataSource, Fetcher, RemoteFile
from backend.errors import BadSettings

FSD50K_RECORD, URBANSOUND8K_RECORD = 4_060_432, 1_203_745
LIBRISPEECH_MD5 = {
    "dev-clean": "42e2234ba48799c1f50f24a7926300a1",
    "dev-other": "c8d0bcc9cca99d4f8b62fcc847357931",
    "test-clean": "32fa31d27d2e1cad72775fee3f4849a9",
    "test-other": "fb5a50374b501bb3bac4815ee91d3135",
    "train-clean-100": "2a93770f6d5c6c964bc36631d331a522",
    "train-clean-360": "c0e676e450a7ff2f54aeade5171606fa",
    "train-other-500": "d1a0fd59409feb2c614ce4d30c387708",
}
BIRD_LABELS = "https://ndownloader.figshare.com/files/{}"


def _fsd50k_files(fetcher: Fetcher, files: tuple[RemoteFile, ...]) -> tuple[RemoteFile, ...]:
    return with_zenodo_checksums(FSD50K_RECORD, fetcher, files)


def _fsd50k(*names: str) -> tuple[RemoteFile, ...]:
    return tuple(zenodo_file(FSD50K_RECORD, f"FSD50K.{name}") for name in names)


def _bird_set(item: str, archive: str, labels_id: int) -> tuple[RemoteFile, ...]:
    return (
        RemoteFile(f"{item}.zip", f"https://archive.org/download/{archive}"),
        RemoteFile(f"{item}.csv", BIRD_LABELS.format(labels_id)),
    )


SOURCES = {
    source.name: source
    for source in (
        DataSource(
            name="esc-50",
            title="ESC-50",
            contents="2,000 environmental sounds of 5 s in 50 classes, 2.8 hours, 0.6 GB",
            license="CC-BY-NC 3.0; the 400 clips of ESC-10 CC-BY 3.0",
            page="https://github.com/karolpiczak/ESC-50",
            rows=esc50_rows,
            parts={
                "all": (RemoteFile("ESC-50-master.zip", "https://github.com/karolpiczak/ESC-50/archive/master.zip"),)
            },
            default_parts=("all",),
        ),
        DataSource(
            name="fsd50k",
            title="FSD50K",
            contents="51,197 Freesound clips in 200 classes, 108 hours, 25 GB",
            license="CC-BY 4.0 as a whole; each clip CC0, CC-BY, CC-BY-NC or Sampling+ (kept in the manifest)",
            page="https://zenodo.org/records/4060432",
            rows=fsd50k_rows,
            parts={
                "dev": _fsd50k(*(f"dev_audio.z0{i}" for i in range(1, 6)), "dev_audio.zip"),
                "eval": _fsd50k("eval_audio.z01", "eval_audio.zip"),
                "metadata": _fsd50k("ground_truth.zip", "metadata.zip"),
            },
            default_parts=("dev", "eval", "metadata"),
            lister=_fsd50k_files,
        ),
        DataSource(
            name="urbansound8k",
            title="UrbanSound8K",
            contents="8,732 city sounds of up to 4 s in 10 classes, 8.8 hours, 6 GB",
            license="CC-BY-NC 3.0",
            page="https://urbansounddataset.weebly.com/urbansound8k.html",
            rows=urbansound8k_rows,
            parts={
                "all": (
                    zenodo_file(
                        URBANSOUND8K_RECORD, "UrbanSound8K.tar.gz", "md5:9aa69802bbf37fb986f71ec1483a196e"
                    ),
                )
            },
            default_parts=("all",),
        ),
        DataSource(
            name="librispeech",
            title="LibriSpeech",
            contents="1,000 hours of English audiobooks at 16 kHz; dev-clean 0.3 GB, train-clean-100 6.3 GB",
            license="CC-BY 4.0",
            page="https://www.openslr.org/12/",
            rows=librispeech_rows,
            parts={
                name: (
                    RemoteFile(f"{name}.tar.gz", f"https://www.openslr.org/resources/12/{name}.tar.gz", f"md5:{md5}"),
                )
                for name, md5 in LIBRISPEECH_MD5.items()
            },
            default_parts=("dev-clean",),
        ),
        DataSource(
            name="xeno-canto",
            title="Xeno-canto",
            contents="bird recordings of all species and countries; choose with --species, --country and --quality",
            license="Creative Commons, one license per recording (kept in the manifest)",
            page="https://xeno-canto.org/explore/api",
            rows=xeno_canto_rows,
            parts={"query": ()},
            default_parts=("query",),
        ),
        DataSource(
            name="bird-audio-detection",
            title="Bird Audio Detection (ff1010bird, warblrb10k)",
            contents="15,690 field recordings of 10 s with and without birds, 43 hours, 11 GB",
            license="CC-BY 4.0",
            page="https://dcase.community/challenge2018/task-bird-audio-detection",
            rows=bird_audio_rows,
            parts={
                "ff1010bird": _bird_set("ff1010bird", "ff1010bird/ff1010bird_wav.zip", 10_853_303),
                "warblrb10k": _bird_set("warblrb10k", "warblrb10k_public/warblrb10k_public_wav.zip", 10_853_306),
            },
            default_parts=("ff1010bird", "warblrb10k"),
            lister=with_archive_checksums,
        ),
        DataSource(
            name="fsc22",
            title="FSC22",
            contents="2,025 forest sounds of 5 s in 27 classes, 2.8 hours",
            license="see its page; the sounds come from Freesound with licenses of their own",
            page="https://www.kaggle.com/datasets/irmiot22/fsc22-dataset",
            rows=fsc22_rows,
            parts={},
            instructions=(
                "Kaggle needs an account. Sign in, download the archive from the page above, unpack it into {folder} "
                "and run this command again."
            ),
        ),
    )
}  # fmt: skip


def data_source(name: str) -> DataSource:
    """Returns the dataset `name`. Raises `BadSettings` with the known names."""
    if name not in SOURCES:
        raise BadSettings(f"'{name}' is not a known dataset; known are {', '.join(SOURCES)}. Choose one of them.")
    return SOURCES[name]
