"""The `train` commands: `train codec`, `train lm`, `train selftest`, `train doctor`.

Exit code 1 means a selftest that failed or a run that is not healthy.
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

app = typer.Typer(help="Train codecs and voices, and look after training runs.", no_args_is_help=True)


@app.command()
def codec(
    settings: Annotated[
        list[str], typer.Argument(help="preset=NAME and any setting, such as data.dir=FOLDER out=RUN.")
    ],
    devices: Annotated[int, typer.Option(help="Processes to train with, one per device.")] = 1,
    nodes: Annotated[int, typer.Option(help="Machines to train with.")] = 1,
) -> None:
    """Train a codec, or go on with the run in out=RUN where it stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    reason = _train_codec(settings, devices, nodes)
    logging.getLogger(__name__).info("training ended: %s", reason)


def _train_codec(settings: list[str], devices: int, nodes: int) -> str:
    # Imported here: `--help` should not wait seconds for them.
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
    recipe = read_codec_config(compose_preset("codec", preset, changes))
    fabric = _fabric(recipe, devices, nodes)
    if recipe.init is not None:
        model = load_codec(recipe.init)
        if recipe.harmonic is not None:
            model = harmonic_codec(model, recipe.codec.config, recipe.harmonic.decoder_weights)
    else:
        model = build_codec(recipe.codec.name, recipe.codec.config)
    with reporter(sys.stderr) as report, fabric.rank_zero_first():
        learned, validation_clips = open_dataset(recipe.data, model.spec, report.decoding)

    def export(trained: Any, metadata: dict[str, Any]) -> None:
        if recipe.harmonic is None:
            save_codec(recipe.out / "codec", trained, metadata)
        else:
            save_codec(recipe.out / "codec", trained, metadata, storage="fp16", int8_parts=["decoder.f0_network"])

    kind = CodecTrainTask if recipe.harmonic is None else HarmonicTrainTask
    with reporter(sys.stderr) as report:
        return _run(
            Loop(recipe, fabric, kind(recipe, model, fabric, learned, validation_clips), report.training, export)
        )


@app.command()
def lm(
    settings: Annotated[
        list[str], typer.Argument(help="preset=NAME and any setting, such as data.dir=SHARDS out=RUN.")
    ],
    devices: Annotated[int, typer.Option(help="Processes to train with, one per device.")] = 1,
    nodes: Annotated[int, typer.Option(help="Machines to train with.")] = 1,
) -> None:
    """Train a voice on token shards, or go on with the run in out=RUN where it stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    reason = _train_lm(settings, devices, nodes)
    logging.getLogger(__name__).info("training ended: %s", reason)


def _train_lm(settings: list[str], devices: int, nodes: int) -> str:
    from backend.training.loop.progress import reporter
    from backend.training.presets import compose_preset
    from backend.training.voice.build import open_run
    from backend.training.voice.config import read_voice_config

    preset, changes = _preset_of(settings)
    recipe = read_voice_config(compose_preset("lm", preset, changes))
    fabric = _fabric(recipe, devices, nodes)
    with reporter(sys.stderr) as report:
        return _run(open_run(recipe, fabric, report.training))


def _preset_of(settings: list[str]) -> tuple[str, list[str]]:
    """The preset named among the settings, and the others."""
    names = [item.removeprefix("preset=") for item in settings if item.startswith("preset=")]
    if len(names) != 1:
        raise BadSettings(f"Got {len(names)} presets; expected one. Give preset=NAME.")
    return names[0], [item for item in settings if not item.startswith("preset=")]


def _fabric(recipe: RunConfig, devices: int, nodes: int) -> Fabric:
    # Imported here: `--help` should not wait seconds for them.
    import torch
    from lightning.fabric import Fabric
    from lightning.fabric.strategies import DDPStrategy

    torch.set_num_threads(recipe.threads)
    strategy: Any = DDPStrategy(find_unused_parameters=True) if devices * nodes > 1 else "auto"
    fabric = Fabric(devices=devices, num_nodes=nodes, strategy=strategy, precision=recipe.precision)
    fabric.launch()
    fabric.seed_everything(recipe.seed)
    return fabric


def _run(loop: Loop) -> str:
    """Run the loop; an interrupt lets it end in order."""

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
        list[str] | None, typer.Argument(help="Any setting of the preset, such as recon.steps=100.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Keep the run in this folder.")] = None,
) -> None:
    """Learn three synthetic clips by heart: proof, in about two minutes on one core, that training works here."""
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
def doctor(run: Annotated[Path, typer.Argument(help="The folder of a run.")]) -> None:
    """Say how a run is doing, from its log, with the numbers that say so."""
    from backend.training.loop.diagnosis import diagnose

    verdict = diagnose(run)
    typer.echo(f"{verdict.state}: {verdict.reason}")
    for name, value in verdict.numbers.items():
        typer.echo(f"  {name:<28} {value:.4g}")
    if verdict.state != "healthy":
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
