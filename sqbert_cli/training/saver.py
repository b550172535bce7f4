"""When the resume file is written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqbert_cli.training.optimise import Trainer
from sqbert_cli.training.run import Run

OLD_SECONDS = 120.0
"""Of work that a kill may cost; to write all that is needed to go on takes longer than many a step."""


@dataclass
class Saver:
    """Writes the resume file of a run: when that is due, when the last one is old, and before the run is to end."""

    run: Run
    trainer: Trainer
    identity: Mapping[str, Any]
    saved: float = field(default_factory=time.monotonic)

    def save(self) -> None:
        self.run.save(self.trainer, self.identity)
        self.saved = time.monotonic()

    def step_done(self, is_due: bool = False) -> None:
        """Raises `KeyboardInterrupt`, after saving, where the run is to end."""
        is_last = self.run.stop.is_set()
        if is_due or is_last or time.monotonic() - self.saved > OLD_SECONDS:
            self.save()
        if is_last:
            raise KeyboardInterrupt
