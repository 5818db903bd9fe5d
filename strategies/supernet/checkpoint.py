"""The checkpoint of a search on shared weights, from which it resumes as if it had not stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search_spaces.errors import UserError
from strategies.result import SearchResult

if TYPE_CHECKING:
    from strategies.supernet.strategy import SupernetStrategy


def state_of(strategy: SupernetStrategy[Any]) -> dict[str, Any]:
    """The state of a search after an epoch: tensors, numbers and strings only."""
    assert strategy.result.genotype is not None
    return {
        "strategy": type(strategy).__name__,
        "result": strategy.result.state_dict(),
        "own": strategy.search_state_dict(),
        **{name: part.state_dict() for name, part in _parts(strategy).items()},
    }


def load(strategy: SupernetStrategy[Any], state: dict[str, Any]) -> None:
    """Continue a search, whose strategy is set up, from what `state_of` returned.

    Raises:
        UserError: the state is that of another search.
    """
    try:
        if state["strategy"] not in (type(strategy).__name__, *strategy.former_names):
            raise ValueError(f"of {state['strategy']}")
        strategy.result = SearchResult.from_state_dict(state["result"], strategy.space)
        strategy.prepare_to_load(state["own"])
        strategy.load_search_state_dict(state["own"])
        for name, part in _parts(strategy).items():
            part.load_state_dict(state[name])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        why = (str(error).strip().splitlines() or [""])[0]
        raise UserError(
            f"the run's checkpoint is of another search ({type(error).__name__}: {why:.100}); start anew "
            "in another folder"
        ) from error


def _parts(strategy: SupernetStrategy[Any]) -> dict[str, Any]:
    return {
        "supernet": strategy.supernet,
        "optimizer": strategy.optimizer,
        "scheduler": strategy.scheduler,
    }
