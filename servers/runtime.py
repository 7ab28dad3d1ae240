"""What the generated wrappers call. Tools run on the host; a program here only asks for them."""

try:
    from _workcell import call as _call, checkpoint as _checkpoint, session as _session
except ImportError:
    raise RuntimeError("Tools can be called only by a program that Workcell runs: start it with `workcell run`") from None

from typing import Any, Dict, List, Optional, Union

__all__ = ["ToolError", "call_tool", "checkpoint", "session"]


class Session:
    """What a program is told of the session that it runs in, as it was when the program began.

    `attempt` is 1 for the first time that the program runs. `checkpoint` is the last that was set, with `step`, `lastTask`
    and `context`, or None. `history` holds the last executions that have an outcome, oldest first, each with
    `executionId`, `task`, `status` and `value`.
    """

    id: str
    attempt: int
    checkpoint: Optional[Dict[str, Any]]
    history: List[Dict[str, Any]]

    def __init__(self, id: str, attempt: int, checkpoint: Optional[Dict[str, Any]], history: List[Dict[str, Any]]) -> None:
        self.id = id
        self.attempt = attempt
        self.checkpoint = checkpoint
        self.history = history


# In a replay its checkpoint and history are those that the program found when it first ran.
session = Session(**_session())


class ToolError(Exception):
    """What a failed tool call raises. Tell failures apart by `code`.

    `retryable` is true when the same call may succeed later.
    """

    server: str
    tool: str
    code: str
    message: str
    retryable: bool
    details: Any

    def __init__(
        self, server: str, tool: str, code: str, message: str, retryable: bool = False, details: Any = None
    ) -> None:
        super().__init__(message)
        self.server = server
        self.tool = tool
        self.code = code
        self.message = message
        self.retryable = retryable
        self.details = details


def call_tool(server: str, tool: str, input: Optional[Any] = None) -> Any:
    """Calls a tool through the host and gives its result.

    Blocks until it is there; any number of threads may call at once. Raises a ToolError when the call fails or is
    refused, and a TypeError for an input that cannot be written as JSON.
    """
    return _value(_call(server, tool, input))


def checkpoint(step: Union[int, str], context: Any = None) -> None:
    """Keeps a step and what is needed to go on from there, as JSON, in the session.

    The next program finds both as `session.checkpoint`. It is on disk when this returns. Raises a ToolError for what cannot
    be kept, and a TypeError for what cannot be written as JSON.
    """
    _value(_checkpoint(step, context))


def _value(answer: Any) -> Any:
    if answer["ok"]:
        return answer["value"]
    error = answer["error"]
    raise ToolError(
        error["server"], error["tool"], error["code"], error["message"], error.get("retryable", False), error.get("details")
    )
