"""Every command by name; none of their modules imports anything heavy."""

from __future__ import annotations

from nastransfer_nni.architecture.__main__ import COMMANDS as ARCHITECTURE
from nastransfer_nni.base.cli import Commands
from nastransfer_nni.board.__main__ import COMMAND as TENSORBOARD
from nastransfer_nni.catalog.__main__ import EXAMPLES, LIST, LOOPBACK, STRATEGIES
from nastransfer_nni.evaluate.__main__ import COMMAND as EVALUATE
from nastransfer_nni.export.__main__ import COMMAND as EXPORT
from nastransfer_nni.latency.__main__ import COMMAND as LATENCY
from nastransfer_nni.proxy.__main__ import COMMANDS as PROXY
from nastransfer_nni.rank.__main__ import COMMAND as RANK
from nastransfer_nni.report.__main__ import COMMAND as REPORT
from nastransfer_nni.score.__main__ import COMMAND as SCORE
from nastransfer_nni.search.__main__ import COMMAND as SEARCH
from nastransfer_nni.study.__main__ import COMMANDS as STUDY
from nastransfer_nni.transfer.__main__ import COMMAND as TRANSFER

COMMANDS: Commands = {
    "search": SEARCH,
    "transfer": TRANSFER,
    "evaluate": EVALUATE,
    "export": EXPORT,
    "study": STUDY,
    "report": REPORT,
    "proxy": PROXY,
    "architecture": ARCHITECTURE,
    "score": SCORE,
    "rank": RANK,
    "measure-latency": LATENCY,
    "tensorboard": TENSORBOARD,
    "list": LIST,
    "strategies": STRATEGIES,
    "examples": EXAMPLES,
    "loopback": LOOPBACK,
}
