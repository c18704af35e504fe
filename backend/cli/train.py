"""The `train` commands: `train codec`, `train lm`, `train music`, `train pcm`, `train selftest`, `train doctor`.

Exit code 1: the selftest failed or the run is not healthy.
"""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.errors import BadSettings

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from backend.training.loop.config import RunConfig
    from backend.training.loop.loop import Loop

app = typer.Typer(help="Train codecs, voices and music models, and diagnose training runs.", no_args_is_help=True)


@app.command()
def codec(
    settings: Annotated[
        list[str], typer.Argument(help="preset=NAME and any setting, for example data.dir=FOLDER out=RUN.")
    ],
    devices: Annotated[int, typer.Option(help="Number of processes, one per device.")] = 1,
    nodes: Annotated[int, typer.Option(help="Number of machines.")] = 1,
) -> None:
    """Train a codec, or resume the run in out=RUN."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    reason = _train_codec(settings, devices, nodes)
    logging.getLogger(__name__).info("training ended: %s", reason)


def _train_codec(settings: list[str], devices: int, nodes: int) -> str:
    # Imported here, so that `--help` stays fast.
    from backend.codec.registry import build_codec
    from backend.training.codec.config import read_codec_config
    from backend.training.codec.dataset import open_dataset
    from backend.training.codec.harmonic_start import harmonic_codec
    from backend.training.codec.harmonic_task import HarmonicTrainTask
    from backend.training.codec.task import CodecTrainTask
    from backend.training.loop.loop import Loop
    from backend.training.loop.progress import reporter
    from backend.training.presets import compose_preset
    from backend.weights import load_codec, save_codec

    preset, changes = _preset_of(settings)
    config = read_codec_config(compose_preset("codec", preset, changes))
    fabric = _fabric(config, devices, nodes)
    if config.init is not None:
        model = load_codec(config.init)
        if config.harmonic is not None:
            model = harmonic_codec(model, config.codec.config, config.harmonic.decoder_weights)
    else:
        model = build_codec(config.codec.name, config.codec.config)
    with reporter(sys.stderr) as report, fabric.rank_zero_first():
        train_clips, validation_clips = open_dataset(config.data, model.spec, report.decoding)

    def export(trained: Any, metadata: dict[str, Any]) -> None:
        if config.harmonic is None:
            save_codec(config.out / "codec", trained, metadata)
        else:
            save_codec(config.out / "codec", trained, metadata, storage="fp16", int8_parts=["decoder.f0_network"])

    task_class = CodecTrainTask if config.harmonic is None else HarmonicTrainTask

    with reporter(sys.stderr) as report:
        return _run(
            Loop(
                config,
                fabric,
                task_class(config, model, fabric, train_clips, validation_clips),
                report.training,
                export,
            )
        )


@app.command()
def lm(
    settings: Annotated[
        list[str], typer.Argument(help="preset=NAME and any setting, for example data.dir=SHARDS out=RUN.")
    ],
    devices: Annotated[int, typer.Option(help="Number of processes, one per device.")] = 1,
    nodes: Annotated[int, typer.Option(help="Number of machines.")] = 1,
) -> None:
    """Train a voice on token shards, or resume the run in out=RUN."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    reason = _train_lm(settings, devices, nodes)
    logging.getLogger(__name__).info("training ended: %s", reason)


def _train_lm(settings: list[str], devices: int, nodes: int) -> str:
    from backend.training.loop.progress import reporter
    from backend.training.presets import compose_preset
    from backend.training.voice.build import open_run
    from backend.training.voice.config import read_voice_config

    preset, changes = _preset_of(settings)
    config = read_voice_config(compose_preset("lm", preset, changes))
    fabric = _fabric(config, devices, nodes)
    with reporter(sys.stderr) as report:
        return _run(open_run(config, fabric, report.training))


@app.command()
def music(
    settings: Annotated[
        list[str],
        typer.Argument(help="preset=NAME and any setting, such as data.dir=RENDERS data.codec=CODEC out=RUN."),
    ],
    devices: Annotated[int, typer.Option(help="Number of processes, one per device.")] = 1,
    nodes: Annotated[int, typer.Option(help="Number of machines.")] = 1,
) -> None:
    """Train a music model on a folder of renders, or resume the run in out=RUN."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    reason = _train_music(settings, devices, nodes)
    logging.getLogger(__name__).info("training ended: %s", reason)


def _train_music(settings: list[str], devices: int, nodes: int) -> str:
    from backend.training.loop.progress import reporter
    from backend.training.music.build import open_run
    from backend.training.music.config import read_music_config
    from backend.training.presets import compose_preset

    preset, changes = _preset_of(settings)
    config = read_music_config(compose_preset("music", preset, changes))
    fabric = _fabric(config, devices, nodes)
    with reporter(sys.stderr) as report:
        return _run(open_run(config, fabric, report.training))


@app.command()
def pcm(
    settings: Annotated[
        list[str], typer.Argument(help="preset=NAME and any setting, such as data.dir=FOLDER out=RUN.")
    ],
    devices: Annotated[int, typer.Option(help="Processes to train with, one per device.")] = 1,
    nodes: Annotated[int, typer.Option(help="Machines to train with.")] = 1,
) -> None:
    """Train a model of raw audio bytes on WAV files, or go on with the run in out=RUN where it stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    reason = _train_pcm(settings, devices, nodes)
    logging.getLogger(__name__).info("training ended: %s", reason)


def _train_pcm(settings: list[str], devices: int, nodes: int) -> str:
    from backend.training.loop.progress import reporter
    from backend.training.lossless.config import read_pcm_config
    from backend.training.lossless.train_audio import train_audio_transformer
    from backend.training.presets import compose_preset

    preset, changes = _preset_of(settings)
    recipe = read_pcm_config(compose_preset("pcm", preset, changes))
    fabric = _fabric(recipe, devices, nodes)
    with reporter(sys.stderr) as report:
        return train_audio_transformer(recipe, fabric, report.training, _run)


def _preset_of(settings: list[str]) -> tuple[str, list[str]]:
    """Splits the settings into the preset name and the overrides."""
    names = [item.removeprefix("preset=") for item in settings if item.startswith("preset=")]
    if len(names) != 1:
        raise BadSettings(f"Got {len(names)} presets; expected one. Add preset=NAME.")
    return names[0], [item for item in settings if not item.startswith("preset=")]


def _fabric(config: RunConfig, devices: int, nodes: int) -> Fabric:
    # Imported here, so that `--help` stays fast.
    import torch
    from lightning.fabric import Fabric
    from lightning.fabric.strategies import DDPStrategy

    torch.set_num_threads(config.threads)
    strategy: Any = DDPStrategy(find_unused_parameters=True) if devices * nodes > 1 else "auto"
    fabric = Fabric(devices=devices, num_nodes=nodes, strategy=strategy, precision=config.precision)
    fabric.launch()
    fabric.seed_everything(config.seed)
    return fabric


def _run(loop: Loop) -> str:
    """Runs the loop; SIGINT and SIGTERM end it gracefully."""

    def stop(*_: object) -> None:
        loop.wants_stop = True

    previous = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        return loop.run()
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)


@app.command()
def selftest(
    settings: Annotated[
        list[str] | None, typer.Argument(help="Any setting of the preset, for example recon.steps=100.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Keep the run in this folder.")] = None,
) -> None:
    """Overfit three synthetic clips, to test in about two minutes on one core that training works on this machine."""
    import torch

    from backend.training.codec.selftest import selftest as run_selftest
    from backend.training.loop.progress import reporter

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary, reporter(sys.stderr) as report:
        result = run_selftest(out or Path(temporary) / "selftest", settings or [], report.training)
    typer.echo(f"{'passed' if result.is_passed else 'FAILED'}: {result}")
    if not result.is_passed:
        raise typer.Exit(1)


@app.command()
def doctor(run: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Diagnose a run from its log, with the numbers behind the verdict."""
    from backend.training.loop.diagnosis import diagnose

    verdict = diagnose(run)
    typer.echo(f"{verdict.state}: {verdict.reason}")
    for name, value in verdict.numbers.items():
        typer.echo(f"  {name:<28} {value:.4g}")
    if verdict.state != "healthy":
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
