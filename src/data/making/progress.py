"""One progress bar over all stages of a data set, in environment steps."""

from __future__ import annotations

from collections.abc import Mapping

from utils.logging import progress_bar


class Whole:
    """The bar of everything. `done` of its `total` steps were made before."""

    def __init__(self, total: float, done: float) -> None:
        self._bar = progress_bar(round(total), round(done), " steps", short=True)

    def stage(self, title: str, work: float, done: float) -> StageBar:
        """A stage of it that takes `work` steps, `done` of which were made before."""
        self._bar.set_description(title)
        return StageBar(self, work, done)

    def add(self, steps: float) -> None:
        """So many more are made."""
        self._bar.update(steps)

    def show(self, numbers: Mapping[str, object]) -> None:
        """Show numbers behind the bar."""
        self._bar.set_postfix(numbers)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


class StageBar:
    """A stage's share of the bar; called as `progress_bar` is, it gives what moves it."""

    def __init__(self, whole: Whole, work: float, done: float) -> None:
        self.whole, self._work, self._done = whole, work, done

    def __call__(self, total: int, done: int, unit: str) -> Part:
        return Part(self, total, done)

    def reach(self, share: float) -> None:
        """So much of it is made; what is estimated never runs back."""
        steps = max(self._done, min(share, 1.0) * self._work)
        self.whole.add(steps - self._done)
        self._done = steps


class Part:
    """Keeps the promises of a bar (`utils.logging.Bar`) by moving a stage of the whole."""

    def __init__(self, stage: StageBar, total: int, done: int) -> None:
        self._stage, self._total, self.n = stage, total, float(done)

    def update(self, n: float = 1) -> None:
        """So much more is done."""
        self.n += n
        self._stage.reach(self.n / self._total)

    def set_postfix(self, ordered_dict: Mapping[str, object]) -> None:
        """Show numbers behind the bar."""
        self._stage.whole.show(ordered_dict)

    def close(self) -> None:
        """All of it is done."""
        self._stage.reach(1.0)
