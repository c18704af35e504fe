"""The training loop: steps, phases, the log, snapshots, rollbacks, exports."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.fabric import Fabric

from backend.codec.base import CausalCodec
from backend.codec.vq import codebook_usage
from backend.data.cache import CachedClip
from backend.errors import BadSettings, PhonogramError
from backend.training.audition import audition
from backend.training.codec_task import CodecTask
from backend.training.guard import CollapseGuard, DivergenceGuard
from backend.training.material import build_sampler
from backend.training.meters import Meters
from backend.training.recipe import Recipe
from backend.training.runlog import RunLog
from backend.training.snapshot import load_snapshot, random_state, restore_random_state, save_snapshot, snapshots
from backend.training.warmup import Plateau

Reporter = Callable[[int, int, dict[str, Any]], None]
Exporter = Callable[[CausalCodec, dict[str, Any]], None]


class TrainingFailed(PhonogramError):
    """A run that diverged again after every rollback it was allowed."""


class Loop:
    """One run in its folder. A run that was interrupted goes on from its last snapshot.

    Everything but the step itself (log, guard, snapshots, exports) happens at log boundaries, every
    `recipe.log_every` steps; only there does the loop wait for the device.
    """

    def __init__(
        self, recipe: Recipe, fabric: Fabric, codec: CausalCodec, learned: list[CachedClip],
        auditioned: list[CachedClip] | None = None, reporter: Reporter | None = None, exporter: Exporter | None = None,
    ):  # fmt: skip
        self.recipe, self.fabric, self.learned, self.auditioned = recipe, fabric, learned, auditioned or []
        self.reporter, self.exporter = reporter, exporter
        self.task = CodecTask(recipe, codec, fabric)
        self.task.is_quantized = recipe.init is not None
        self.guard = DivergenceGuard(recipe.guard.max_loss_ratio, recipe.guard.window)
        self.collapse = CollapseGuard(recipe.guard.min_perplexity_ratio, recipe.guard.collapse_patience)
        self.plateau = Plateau(recipe.warmup.min_growth, recipe.warmup.patience)
        self.meters = Meters()
        self.step = self.n_rollbacks = 0
        self.lr_scale, self.trained_s = 1.0, 0.0
        self.wants_stop = False
        self.phase_name = ""
        self.root = recipe.out / "snapshots"

    def run(self) -> str:
        """Train until the steps are done ("finished"), the minutes are over ("time") or `wants_stop` ("stopped")."""
        recipe = self.recipe
        self._check_codec_unchanged()
        # The first process looks for all: it may have written the first snapshot before another looks.
        found = self.fabric.broadcast(bool(snapshots(self.root)))
        if found:
            self._restore(snapshots(self.root)[-1])
        else:
            self._enter_phase()
        self.log = RunLog(recipe.out, self.step) if self.fabric.is_global_zero else None
        if found:
            self._event("resume", {})
        else:
            self._snapshot()
        started = time.monotonic()
        self._mark = (time.monotonic(), time.process_time(), self.step)
        last = {"snapshot": started, "export": started, "audition": started}
        reason = "finished"
        while self.step < recipe.total_steps:
            self._one_step()
            if self.step % recipe.log_every:
                continue
            self._boundary(last)
            is_over = recipe.max_minutes is not None and time.monotonic() - started >= 60 * recipe.max_minutes
            if self._agree(is_over or self.wants_stop):
                reason = "stopped" if self.wants_stop else "time"
                break
        self._snapshot()
        self._export()
        self._audition()
        self._event("stop", {"reason": reason})
        if self.log is not None:
            self.log.close()
        return reason

    def _one_step(self) -> None:
        name, _, began = self.recipe.phase_at(self.step)
        if name != self.phase_name:
            self._enter_phase()
            self._event("phase", {"name": name})
            self._snapshot()
        phase_step = self.step - began
        self.lr = self.task.set_lr(phase_step, self.lr_scale)
        audio = torch.from_numpy(self.sampler.next_batch()).to(self.fabric.device, non_blocking=True)
        is_last_of_interval = (self.step + 1) % self.recipe.log_every == 0
        self.meters.add(self.task.step(audio, phase_step, is_detailed=is_last_of_interval))
        self.step += 1

    def _enter_phase(self) -> None:
        """Begin the phase of the present step, with fresh optimisers and segments of its length."""
        name, phase, _ = self.recipe.phase_at(self.step)
        is_adversarial = name == "adversarial"
        if is_adversarial and self.step:
            self.task.adopt_average()
        self.task.enter(phase, is_adversarial)
        self.sampler = build_sampler(self.learned, self.recipe.data, phase, self.task.spec, self._seed())
        self.phase_name = name
        self.guard.reset()
        if is_adversarial and not self.task.is_quantized:
            self._quantize()

    def _seed(self) -> int:
        """Different for every process, phase and rollback."""
        numbers = (self.recipe.seed, self.fabric.global_rank, self.step, self.n_rollbacks)
        return sum(number * 1_000_003**i for i, number in enumerate(numbers))

    def _boundary(self, last: dict[str, float]) -> None:
        values = self._measure()
        if self.guard.is_diverged(values["recon"]):
            self._roll_back(values)
            return
        if self.log is not None:
            self.log.write("step", self.step, values)
            if self.reporter is not None:
                self.reporter(self.step, self.recipe.total_steps, values)
        self._watch_codebooks(values)
        recipe = self.recipe
        for name, minutes, act in (
            ("snapshot", recipe.snapshot_minutes, self._snapshot),
            ("export", recipe.export_minutes, self._export),
            ("audition", recipe.audition_minutes, self._audition),
        ):
            if self._agree(time.monotonic() - last[name] >= 60 * minutes):
                act()
                last[name] = time.monotonic()

    def _measure(self) -> dict[str, Any]:
        """The means of the interval over all processes, with the speed and the health of the codebooks."""
        means = self.meters.flush()
        if self.fabric.world_size > 1:
            means = {name: float(self.fabric.all_reduce(torch.tensor(value))) for name, value in means.items()}
        now, cpu_now = time.monotonic(), time.process_time()
        since, cpu_since, step_since = self._mark
        n_steps = self.step - step_since
        self._mark = (now, cpu_now, self.step)
        self.trained_s += now - since
        audio_s = n_steps * self.sampler.batch * self.sampler.n_samples / self.task.spec.sample_rate_hz
        values: dict[str, Any] = {
            "phase": self.phase_name, "is_quantized": self.task.is_quantized, **means, "lr": self.lr,
            "trained_s": self.trained_s, "steps_per_s": n_steps / max(now - since, 1e-9),
            "cpu_s_per_step": (cpu_now - cpu_since) / max(n_steps, 1),
            "audio_s_per_cpu_s": audio_s / max(cpu_now - cpu_since, 1e-9),
            "effective_dimension": self.fabric.broadcast(self.task.effective_dimension()),
        }  # fmt: skip
        codes = self.task.codes.rows()
        if codes is not None:
            usage = codebook_usage(codes.T[None].long(), self.task.spec.codebook_sizes)
            values |= {"perplexity": list(usage.perplexity), "dead_fraction": list(usage.dead_fraction)}
            values["n_frames_seen"] = codes.shape[0]
            values["codebook_sizes"] = list(self.task.spec.codebook_sizes)
        return values

    def _watch_codebooks(self, values: dict[str, Any]) -> None:
        """Switch the codebooks on when the latents are ready, and place them anew when they collapse."""
        block = self.recipe.warmup
        if not self.task.is_quantized:
            is_check = self.step % block.check_every < self.recipe.log_every
            is_flat = is_check and self.plateau.is_reached(values["effective_dimension"])
            if self.step >= block.max_steps or (self.step >= block.min_steps and is_flat):
                self._quantize()
                self._event("quantize", {"effective_dimension": values["effective_dimension"]})
                self._snapshot()
        elif "perplexity" in values and "quantizer" not in self.task.phase.freeze:
            sizes = self.task.spec.codebook_sizes
            perplexities = self.fabric.broadcast(values["perplexity"])
            if self.collapse.is_collapsed(perplexities, sizes, values["n_frames_seen"]):
                self._event("reseed", {"perplexity": perplexities})
                self._quantize()
                self.collapse.n_bad = 0

    def _quantize(self) -> None:
        if self.task.has_placeable_codebooks:
            self.task.place_codebooks(self.sampler)
        self.task.is_quantized = True
        self.guard.reset()

    def _roll_back(self, values: dict[str, Any]) -> None:
        """Return to the last snapshot with a smaller learning rate and other segments."""
        self.n_rollbacks += 1
        n_rollbacks, lr_scale = self.n_rollbacks, self.lr_scale * self.recipe.guard.lr_cut
        diverged_at, recon = self.step, values["recon"]
        if n_rollbacks > self.recipe.guard.max_rollbacks:
            self._event("stop", {"reason": "diverged", "recon": recon})
            raise TrainingFailed(
                f"The loss diverged at step {diverged_at} (reconstruction loss {recon:.4g}) after {n_rollbacks - 1} "
                "rollbacks. Lower the learning rate, or look at the data with 'train doctor'."
            )
        self._restore(snapshots(self.root)[-1])
        self.n_rollbacks, self.lr_scale = n_rollbacks, lr_scale
        self.sampler.reseed(self._seed())
        self._mark = (time.monotonic(), time.process_time(), self.step)
        self._event("rollback", {"from_step": diverged_at, "recon": recon, "lr_scale": lr_scale})
        # So that an interruption does not forget the cut.
        self._snapshot()

    def _snapshot(self) -> None:
        if not self.fabric.is_global_zero:
            return
        state = {
            "step": self.step, "phase": self.phase_name, "n_rollbacks": self.n_rollbacks, "lr_scale": self.lr_scale,
            "trained_s": self.trained_s, "sampler": self.sampler.state(), "random": random_state(),
            "guard": self.guard.history, "n_collapsed": self.collapse.n_bad,
            "plateau": [self.plateau.best, self.plateau.n_flat], "task": self.task.state(),
        }  # fmt: skip
        save_snapshot(self.root, self.step, state)

    def _restore(self, folder: Any) -> None:
        state = load_snapshot(folder)
        self.step, self.n_rollbacks, self.lr_scale = state["step"], state["n_rollbacks"], state["lr_scale"]
        self.trained_s = state["trained_s"]
        name = state["phase"]
        if name == "adversarial" and self.recipe.phase_at(self.step)[0] != name:
            raise BadSettings(
                f"The run was in its adversarial phase at step {self.step}; these settings have recon.steps="
                f"{self.recipe.recon.steps}. Restore that setting, or start a new run with init=EXPORTED_CODEC."
            )
        if self.phase_name != name:
            phase = self.recipe.adversarial if name == "adversarial" else self.recipe.recon
            self.task.enter(phase, name == "adversarial")
            self.sampler = build_sampler(self.learned, self.recipe.data, phase, self.task.spec, self._seed())
            self.phase_name = name
        self.task.restore(state["task"])
        if self.fabric.global_rank == 0:
            self.sampler.restore(state["sampler"])
            restore_random_state(state["random"])
        self.guard.history = state["guard"]
        self.collapse.n_bad = state["n_collapsed"]
        self.plateau.best, self.plateau.n_flat = state["plateau"]
        self.meters = Meters()
        self.fabric.barrier()  # no process may replace the snapshot while another reads it

    def _check_codec_unchanged(self) -> None:
        path = self.recipe.out / "recipe.json"
        ours = self.recipe.model_dump(mode="json")
        if path.exists() and snapshots(self.root):
            theirs = json.loads(path.read_text())
            if theirs["codec"] != ours["codec"]:
                raise BadSettings(
                    f"Run '{self.recipe.out.name}' trains {theirs['codec']}; asked for {ours['codec']}. "
                    "Give another folder with out=."
                )
        self.fabric.barrier()  # all have read it before it changes
        if self.fabric.is_global_zero:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".tmp")
            partial.write_text(json.dumps(ours, indent=2) + "\n")
            os.replace(partial, path)

    def _export(self) -> None:
        if self.exporter is not None and self.fabric.is_global_zero:
            self.exporter(
                self.task.average.module, {"trained_steps": self.step, "is_quantized": self.task.is_quantized}
            )

    def _audition(self) -> None:
        if not self.auditioned or self.log is None:
            return
        folder = self.recipe.out / "audition"
        values = audition(
            self.task.average.module, self.auditioned, self.task.spectral_loss, self.task.is_quantized, folder
        )
        self.log.write("audition", self.step, values)

    def _event(self, event: str, values: dict[str, Any]) -> None:
        if self.fabric.is_global_zero and self.log is not None:
            self.log.write("event", self.step, {"event": event, **values})

    def _agree(self, is_time: bool) -> bool:
        """What the first process decides: clocks differ, and all must do the same."""
        return self.fabric.broadcast(bool(is_time)) if self.fabric.world_size > 1 else bool(is_time)
