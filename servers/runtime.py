"""What the generated wrappers call. Tools run on the host; a program here only asks for them."""

try:
    from _workcell import call as _call
except ImportError:
    raise RuntimeError("Tools can be called only by a program that Workcell runs: start it with `workcell run`") from None

from typing import Any, Optional

__all__ = ["ToolError", "call_tool"]


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
    answer = _call(server, tool, input)
    if answer["ok"]:
        return answer["value"]
    error = answer["error"]
    raise ToolError(
        error["server"], error["tool"], error["code"], error["message"], error.get("retryable", False), error.get("details")
    )
