"""The training loop: steps, phases, log, snapshots, rollbacks, exports. The task defines a step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.fabric import Fabric

from backend.atomic_file import write_atomically
from backend.errors import BadSettings, PhonogramError
from backend.training.loop.config import RunConfig
from backend.training.loop.guards import DivergenceGuard
from backend.training.loop.metric_averages import MetricAverages
from backend.training.loop.run_log import RunLog
from backend.training.loop.snapshot import load_snapshot, random_state, restore_random_state, save_snapshot, snapshots
from backend.training.loop.task import Task

Reporter = Callable[[int, int, dict[str, Any]], None]
Exporter = Callable[[Any, dict[str, Any]], None]


class TrainingFailed(PhonogramError):
    """A run that diverged again after its last allowed rollback."""


class Loop:
    """One run in its folder. An interrupted run resumes from its last snapshot.

    Everything but the step (log, guard, snapshots, exports) happens at log boundaries, every `recipe.log_every` steps;
    only there does the loop synchronize with the device.
    """

    def __init__(
        self, recipe: RunConfig, fabric: Fabric, task: Task, reporter: Reporter | None = None,
        exporter: Exporter | None = None,
    ):  # fmt: skip
        self.recipe, self.fabric, self.task = recipe, fabric, task
        self.reporter, self.exporter = reporter, exporter
        self.guard = DivergenceGuard(recipe.guard.max_loss_ratio, recipe.guard.window)
        self.meters = MetricAverages()
        self.step = self.n_rollbacks = 0
        self.lr_scale, self.trained_s = 1.0, 0.0
        self.wants_stop = False
        self.phase_name = ""
        self.root = recipe.out / "snapshots"

    def run(self) -> str:
        """Trains until all steps are done ("finished"), the time is over ("time") or `wants_stop` is set ("stopped")."""
        recipe = self.recipe
        self._check_model_unchanged()
        # The first process decides for all: it may write the first snapshot before another process looks.
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
        self._validate()
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
        is_last_of_interval = (self.step + 1) % self.recipe.log_every == 0
        self.meters.add(self.task.train_step(phase_step, is_detailed=is_last_of_interval))
        self.step += 1

    def _enter_phase(self) -> None:
        """Starts the phase of the current step with new optimizers and data order."""
        name = self.recipe.phase_at(self.step)[0]
        self.task.start_phase(name, self._seed(), is_fresh=True)
        self.phase_name = name
        self.guard.reset()

    def _seed(self) -> int:
        """Returns a seed that differs for every process, phase and rollback."""
        numbers = (self.recipe.seed, self.fabric.global_rank, self.step, self.n_rollbacks)
        return sum(number * 1_000_003**i for i, number in enumerate(numbers))

    def _boundary(self, last: dict[str, float]) -> None:
        values = self._measure()
        if self.guard.is_diverged(values[self.task.watched]):
            self._roll_back(values)
            return
        if self.log is not None:
            self.log.write("step", self.step, values)
            if self.reporter is not None:
                self.reporter(self.step, self.recipe.total_steps, values)
        for event, facts in self.task.on_log(self.step, values):
            self.guard.reset()
            self._event(event, facts)
            self._snapshot()
        recipe = self.recipe
        for name, minutes, act in (
            ("snapshot", recipe.snapshot_minutes, self._snapshot),
            ("export", recipe.export_minutes, self._export),
            ("audition", recipe.audition_minutes, self._validate),
        ):
            if self._agree(time.monotonic() - last[name] >= 60 * minutes):
                act()
                last[name] = time.monotonic()

    def _measure(self) -> dict[str, Any]:
        """Returns the interval's means over all processes, the speed and the task's values."""
        means = self.meters.flush()
        if self.fabric.world_size > 1:
            means = {name: float(self.fabric.all_reduce(torch.tensor(value))) for name, value in means.items()}
        now, cpu_now = time.monotonic(), time.process_time()
        since, cpu_since, step_since = self._mark
        n_steps, cpu_s = self.step - step_since, max(cpu_now - cpu_since, 1e-9)
        self._mark = (now, cpu_now, self.step)
        self.trained_s += now - since
        values: dict[str, Any] = {
            "phase": self.phase_name, **means, "lr": self.lr, "trained_s": self.trained_s,
            "steps_per_s": n_steps / max(now - since, 1e-9), "cpu_s_per_step": cpu_s / max(n_steps, 1),
        }  # fmt: skip
        return values | self.task.measure(n_steps, cpu_s)

    def _roll_back(self, values: dict[str, Any]) -> None:
        """Returns to the last snapshot with a smaller learning rate and other segments."""
        self.n_rollbacks += 1
        n_rollbacks, lr_scale = self.n_rollbacks, self.lr_scale * self.recipe.guard.lr_cut
        diverged_at, watched = self.step, self.task.watched
        loss = values[watched]
        if n_rollbacks > self.recipe.guard.max_rollbacks:
            self._event("stop", {"reason": "diverged", watched: loss})
            raise TrainingFailed(
                f"The loss diverged at step {diverged_at} ({watched} loss {loss:.4g}) after {n_rollbacks - 1} "
                "rollbacks. Lower the learning rate, or check the data with 'train doctor'."
            )
        self._restore(snapshots(self.root)[-1])
        self.n_rollbacks, self.lr_scale = n_rollbacks, lr_scale
        self.task.reseed(self._seed())
        self._mark = (time.monotonic(), time.process_time(), self.step)
        self._event("rollback", {"from_step": diverged_at, watched: loss, "lr_scale": lr_scale})
        # Keeps the lower learning rate across an interruption.
        self._snapshot()

    def _snapshot(self) -> None:
        if not self.fabric.is_global_zero:
            return
        state = {
            "step": self.step, "phase": self.phase_name, "n_rollbacks": self.n_rollbacks, "lr_scale": self.lr_scale,
            "trained_s": self.trained_s, "random": random_state(), "guard": self.guard.history,
            "task": self.task.state(),
        }  # fmt: skip
        save_snapshot(self.root, self.step, state)

    def _restore(self, folder: Any) -> None:
        state = load_snapshot(folder)
        self.step, self.n_rollbacks, self.lr_scale = state["step"], state["n_rollbacks"], state["lr_scale"]
        self.trained_s = state["trained_s"]
        name = state["phase"]
        self.recipe.check_phase(name, self.step)
        if self.phase_name != name:
            self.task.start_phase(name, self._seed(), is_fresh=False)
            self.phase_name = name
        is_first = self.fabric.global_rank == 0
        # Earlier snapshots store the task's state at the top level.
        self.task.restore(state | state["task"], is_first)
        if is_first:
            restore_random_state(state["random"])
        self.guard.history = state["guard"]
        self.meters = MetricAverages()
        self.fabric.barrier()  # no process may replace the snapshot while another reads it

    def _check_model_unchanged(self) -> None:
        path = self.recipe.out / "recipe.json"
        ours = self.recipe.model_dump(mode="json")
        if path.exists() and snapshots(self.root):
            theirs = json.loads(path.read_text())
            trained = self.recipe.trained
            if theirs.get(trained) != ours[trained]:
                raise BadSettings(
                    f"Run '{self.recipe.out.name}' trains {theirs.get(trained)}; the settings ask for {ours[trained]}. "
                    "Set another folder with out=."
                )
        self.fabric.barrier()  # all processes have read it before it changes
        if self.fabric.is_global_zero:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, (json.dumps(ours, indent=2) + "\n").encode())

    def _export(self) -> None:
        if self.exporter is not None and self.fabric.is_global_zero:
            self.exporter(self.task.average.module, {"trained_steps": self.step, **self.task.export_metadata()})

    def _validate(self) -> None:
        if self.log is None:
            return
        values = self.task.validate(self.recipe.out / "audition")
        if values:
            self.log.write("audition", self.step, values)

    def _event(self, event: str, values: dict[str, Any]) -> None:
        if self.fabric.is_global_zero and self.log is not None:
            self.log.write("event", self.step, {"event": event, **values})

    def _agree(self, is_time: bool) -> bool:
        """Returns the first process's decision, since clocks differ and all processes must act alike."""
        return self.fabric.broadcast(bool(is_time)) if self.fabric.world_size > 1 else bool(is_time)
