"""Walks the HTTP API of `workcell serve` with nothing but Python's standard library.

    workcell serve                      # prints a key as MSB_API_KEY when there is none yet
    WORKCELL_URL=http://127.0.0.1:5555 WORKCELL_API_KEY=msb_... python3 examples/http-api.py [CUSTOMER]

CUSTOMER is whom the key is for; "walker" unless told. It makes a session, streams an execution, breaks the connection off in the middle, takes the stream up again without a gap,
cancels, moves files, resumes the session, and looks at what is used. It stops with an error when anything is not as it says.
"""

import json
import os
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ.get("WORKCELL_URL", "http://127.0.0.1:5555").rstrip("/")
KEY = os.environ.get("WORKCELL_API_KEY") or sys.exit("WORKCELL_API_KEY is not set; make a key: workcell key create --name walk --customer walker")
CUSTOMER = sys.argv[1] if len(sys.argv) > 1 else "walker"
TIMEOUT = 120


def call(method, path, body=None, headers=None, expect=(200, 201, 202, 204)):
    """One request: (status, headers, bytes). `body`: bytes are sent as they are, anything else as JSON."""
    is_json = body is not None and not isinstance(body, bytes)
    sent = {"Authorization": f"Bearer {KEY}", **({"Content-Type": "application/json"} if is_json else {}), **(headers or {})}
    request = urllib.request.Request(URL + path, json.dumps(body).encode() if is_json else body, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            status, got, content = response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        status, got, content = error.code, error.headers, error.read()
    except urllib.error.URLError as error:
        raise SystemExit(f"Nobody answers at {URL} ({error.reason}); start workcell serve, or set WORKCELL_URL")
    if status not in expect:
        raise SystemExit(f"{method} {path} answered {status}, not {expect}: {content.decode()}")
    return status, got, content


def call_json(method, path, body=None, **more):
    return json.loads(call(method, path, body, {"Accept": "application/json"}, **more)[2])


def open_stream(method, path, body=None):
    """The connection of an NDJSON answer, and an iterator over its events."""
    host, port = urllib.parse.urlsplit(URL).hostname, urllib.parse.urlsplit(URL).port or 80
    content = b"" if body is None else json.dumps(body).encode()
    head = [
        f"{method} {path} HTTP/1.0",
        f"Host: {host}:{port}",
        f"Authorization: Bearer {KEY}",
        "Accept: application/x-ndjson",
        *([f"Content-Type: application/json\r\nContent-Length: {len(content)}"] if content else []),
    ]
    connection = socket.create_connection((host, port), timeout=TIMEOUT)
    connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + content)
    lines = connection.makefile("rb")
    status = int(lines.readline().split()[1])
    while lines.readline().strip():
        pass
    assert status in (200, 201), f"{method} {path} answered {status}: {lines.read().decode()}"
    # An empty line only says that the server is still there.
    return connection, (json.loads(line) for line in lines if line.strip())


def step(text):
    print(f"- {text}", flush=True)


def check(holds, what):
    if not holds:
        raise SystemExit(f"not as promised: {what}")


base = f"/customers/{urllib.parse.quote(CUSTOMER)}"
run = f"walk-{int(time.time() * 1000)}"

step("the contract is there for everybody who may read it")
contract = json.loads(call("GET", "/openapi.json")[2])
check(contract["openapi"].startswith("3.1"), "OpenAPI 3.1")

step("a session of its own")
session = call_json("POST", f"{base}/sessions", {"sessionId": f"{run}-session"})["sessionId"]

step("an execution, whose stream breaks off in the middle")
program = """
for (let line = 1; line <= 20; line++) {
  console.log(`line ${line}`);
  await new Promise((done) => setTimeout(done, 100));
}
return 'all lines written';
"""
wanted = {"code": program, "session": session, "executionId": run}
connection, events = open_stream("POST", f"{base}/executions", wanted)
seen = []
for event in events:
    seen.append(event)
    if event["type"] == "stdout" and "line 3" in event["text"]:
        break
connection.shutdown(socket.SHUT_RDWR)
connection.close()
check(seen[0]["type"] == "started", "the first event says that it started")

step(f"taken up again after event {seen[-1]['seq']}, without a gap and without a repeat")
connection, events = open_stream("GET", f"{base}/executions/{run}?after={seen[-1]['seq']}&follow=true")
seen.extend(events)
connection.close()
check([event["seq"] for event in seen] == list(range(1, len(seen) + 1)), "every event came once, in order")
check(seen[-1]["type"] == "finished", "a complete stream ends with `finished`")
output = "".join(event["text"] for event in seen if event["type"] == "stdout")
check(output == "".join(f"line {n}\n" for n in range(1, 21)), "all of the output is there")
check(seen[-1]["result"]["value"] == "all lines written", "the value is there")

step("the same execution id again is the same execution, and no second run")
again = call_json("POST", f"{base}/executions", wanted)
check(again["executionId"] == run and again["value"] == "all lines written", "the first result")
status, _, content = call("POST", f"{base}/executions", {**wanted, "code": "return 1"}, expect=(409,))
check(json.loads(content)["code"] == "already_exists", "another program under the same id is refused")

step("an execution that is cancelled, twice")
endless = f"{run}-endless"
connection, events = open_stream("POST", f"{base}/executions", {"code": "for (;;) {}", "executionId": endless})
check(next(events)["type"] == "started", "it started")
call("DELETE", f"{base}/executions/{endless}")
ended = list(events)[-1]
check(ended["type"] == "finished" and ended["result"]["status"] == "killed", "it was killed")
call("DELETE", f"{base}/executions/{endless}")

step("files: written at once or not at all, read in part, and not overwritten by accident")
path = f"{base}/files/{run}/notes.txt"
_, headers, _ = call("PUT", path, b"first version", {"If-None-Match": "*"})
tag = headers["ETag"]
call("PUT", path, b"too late", {"If-None-Match": "*"}, expect=(412,))
call("PUT", path, b"second version", {"If-Match": tag})
call("PUT", path, b"lost update", {"If-Match": tag}, expect=(412,))
status, _, content = call("GET", path, headers={"Range": "bytes=0-5"}, expect=(206,))
check(content == b"second", "the part that was asked for")
read = {"code": f"import {{ readFileSync }} from 'node:fs';\nreturn readFileSync('/workspace/{run}/notes.txt', 'utf8')"}
check(call_json("POST", f"{base}/executions", read)["value"] == "second version", "programs see the same file")
call("GET", f"{base}/files/{run}/..%2f..%2f..%2fetc%2fpasswd", expect=(400, 404))
_, _, archive = call("GET", f"{base}/archive?path={run}")
check(len(archive) > 0, "the folder as one archive")
call("DELETE", path)
call("GET", path, expect=(404,))

step("a checkpoint, and the session resumed")
call("POST", f"{base}/sessions/{session}/checkpoint", {"step": 3, "context": {"cursor": "abc"}})
call("POST", f"{base}/sessions/{session}/close")
call("POST", f"{base}/sessions/{session}/resume", {})
view = call_json("GET", f"{base}/sessions/{session}")
check(view["checkpoint"]["context"] == {"cursor": "abc"}, "the checkpoint is there")
check([task["executionId"] for task in view["tasks"]] == [run], "so is its history")

step("errors are problem documents that say what to do")
status, headers, content = call("POST", f"{base}/executions", {"code": "return 1", "timeoutMs": -1}, expect=(400,))
check(headers["Content-Type"].startswith("application/problem+json"), "RFC 9457")
problem = json.loads(content)
check(problem["code"] == "invalid_argument" and problem["requestId"] == headers["X-Request-Id"], "its code and its id")
nobody = call("GET", "/customers/nobody-at-all", expect=(404,))

step("what is used, and what is left")
usage = call_json("GET", f"{base}/usage")
print(json.dumps(usage, indent=2))

if "WORKCELL_QUOTA" in os.environ:
    most = int(os.environ["WORKCELL_QUOTA"])
    step(f"one more than the {most} executions at once that this customer may have")
    held = []
    for number in range(most):
        held.append(open_stream("POST", f"{base}/executions", {"code": "for (;;) {}", "executionId": f"{run}-held-{number}"}))
        check(next(held[-1][1])["type"] == "started", "it started")
    _, headers, content = call("POST", f"{base}/executions", {"code": "return 1"}, expect=(429,))
    check(json.loads(content)["code"] == "quota_exceeded", "it is refused")
    check(int(headers.get("Retry-After", "1")) >= 0, "and says when to come again")
    for number, (connection, _) in enumerate(held):
        call("DELETE", f"{base}/executions/{run}-held-{number}")
        connection.close()

step("done")
