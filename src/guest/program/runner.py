"""Runs one Python program: started in advance, waits on descriptor 3 for the program, runs it once and ends.

Descriptors 1 and 2 belong to the program alone. What is said on descriptor 3 is one JSON object a line, as in
`src/protocol/runner-frames.ts`. Nothing but the standard library is used: this runs on the Python of any image.
"""
import _thread
import json
import os
import sys
import time

CHANNEL = 3
OLDEST = (3, 9)

sending = _thread.allocate_lock()


def send(text):
    # Halves of characters, which UTF-8 does not have, become escapes of JSON.
    data = memoryview(encoded(text) + b"\n")
    with sending:
        while data:
            data = data[os.write(CHANNEL, data) :]


def encoded(text):
    return text.encode("utf-8", "backslashreplace")


def finish(end):
    """Reports JSON, and is killed for it: bytes that this process has not read would take it with them if it left."""
    send('{"t":"end","end":%s}' % end)
    while True:
        time.sleep(60)


if sys.version_info < OLDEST:
    message = (
        "The sandbox's image has Python %d.%d, and programs need %d.%d or later; "
        "set sandbox.image to an image that has it" % (sys.version_info[:2] + OLDEST)
    )
    error = {"name": "PythonUnavailableError", "message": message, "stack": ""}
    finish(json.dumps({"kind": "error", "error": error}))

import atexit
import gc
import io
import keyword
import linecache
import re
import select
import stat
import types
from importlib.machinery import ModuleSpec, SourceFileLoader

PROGRAM = "/workspace/program.py"
WORKSPACE = "/workspace"
SERVERS = "/workspace/servers"
# A customer's own skill wins over a shared one of the same name.
ROOTS = {"servers": [SERVERS], "skills": ["/workspace/skills", "/opt/workcell/skills"]}
CHECK = os.path.join(os.path.dirname(__file__), "check_calls.py")
# What is ours is not in tracebacks: this file, and the module through which wrappers call tools.
INTERNAL = (__file__, SERVERS + "/runtime.py", "<generated imports>")
MAX_TEXT = 16 * 1024
# Beyond it, the host's numbers are not exact.
MAX_INTEGER = 2**53 - 1


# Values


class NotJson(TypeError):
    """What JSON has no word for."""


def to_json(value, what, name):
    """Strict JSON: tuples are lists, keys become texts. Raises TypeError with the place of what does not fit."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        if LONG_NUMBER.search(text):
            check_json(value, name)
        return text
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        try:
            check_json(value, name)
        except NotJson as precise:
            reason = str(precise)
        except RecursionError:
            reason = "it is nested too deeply, or holds itself"
    raise TypeError("%s cannot be written as JSON: %s" % (what, reason))


LONG_NUMBER = re.compile(r"[0-9]{16}")


def check_json(value, place):
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, (str, int, float, bool, type(None))):
                raise NotJson("%s has a key of type %s" % (place, type(key).__name__))
            check_json(item, "%s[%r]" % (place, key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            check_json(item, "%s[%d]" % (place, index))
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise NotJson("%s is %r" % (place, value))
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise NotJson("%s is an integer beyond 2**53, which is not exact in JSON; write it as a text" % place)
    elif not isinstance(value, (str, type(None))):
        raise NotJson("%s is of type %s" % (place, type(value).__name__))


# Tool calls


class Calls:
    """The guest's end of tool calls. Any thread may call; each waits for its own answer."""

    def __init__(self):
        self._process = os.getpid()
        self._lock = _thread.allocate_lock()
        self._waiting = {}
        self._last = 0
        self._buffered = b""

    def receive(self):
        """The next frame, or None when there is nobody any more."""
        chunks = [self._buffered]
        while b"\n" not in chunks[-1]:
            chunk = os.read(CHANNEL, 1 << 16)
            if not chunk:
                return None
            chunks.append(chunk)
        line, _, self._buffered = b"".join(chunks).partition(b"\n")
        return json.loads(line)

    def call(self, server, tool, arguments):
        """The answer's frame: `ok` and `value`, or `error`. Blocks until it is there."""
        text = to_json({} if arguments is None else arguments, "The input of %s.%s" % (server, tool), "input")
        return self._ask({"t": "call", "server": server, "tool": tool}, "input", text)

    def checkpoint(self, step, context):
        """As `call`, for what the session is to keep."""
        to_json(step, "The step of a checkpoint", "step")
        text = to_json(context, "The context of a checkpoint", "context")
        return self._ask({"t": "checkpoint", "step": step}, "context", text)

    def _ask(self, frame, name, text):
        if os.getpid() != self._process:
            raise RuntimeError("Tools can be called in the program's own process only, and not in one that it has forked")
        answered = _thread.allocate_lock()
        answered.acquire()
        waiting = [answered, None]
        with self._lock:
            self._last += 1
            number = self._last
            self._waiting[number] = waiting
            if number == 1:
                _thread.start_new_thread(self._listen, ())
        send('%s,"run":"","call":%d,"%s":%s}' % (json.dumps(frame)[:-1], number, name, text))
        answered.acquire()
        return waiting[1]

    def _listen(self):
        while True:
            frame = self.receive()
            if frame is None:
                os._exit(0)
            with self._lock:
                waiting = self._waiting.pop(frame.get("call"), None)
            if waiting is not None:
                waiting[1] = frame
                waiting[0].release()


calls = Calls()
# What `servers/runtime.py` imports from `_workcell`.
call = calls.call
checkpoint = calls.checkpoint
told = {}


def session():
    """What the program is told of its session."""
    return {name: told.get(name) for name in ("id", "attempt", "checkpoint", "history")}


# Modules


class Modules:
    """Finds `servers.<server>` and `skills.<name>`, whose folders may have names that are none in Python."""

    def __init__(self, shipped):
        self._shipped = shipped

    def find_spec(self, fullname, path, target=None):
        parts = fullname.split(".")
        roots = ROOTS.get(parts[0])
        if roots is None:
            return None
        if len(parts) == 1:
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = roots
            return spec
        for folder in path or ():
            for name in self._names(folder, parts):
                spec = self._locate(fullname, "%s/%s" % (folder, name))
                if spec is not None:
                    return spec
        if len(parts) == 2:
            raise ModuleNotFoundError(missing(parts, roots), name=fullname)
        return None

    def _names(self, folder, parts):
        yield parts[-1]
        if len(parts) == 2:
            for name in sorted(names_in(folder)):
                if name != parts[-1] and python_name(name) == parts[-1]:
                    yield name

    def _locate(self, fullname, path):
        for file, is_package in ((path + "/__init__.py", True), (path + ".py", False)):
            shipped = file in self._shipped
            if not shipped and not os.path.isfile(file):
                continue
            loader = Shipped(fullname, file, self._shipped[file]) if shipped else SourceFileLoader(fullname, file)
            spec = ModuleSpec(fullname, loader, origin=file, is_package=is_package)
            spec.has_location = True
            if is_package:
                spec.submodule_search_locations = [path]
            return spec
        return None


class Shipped(SourceFileLoader):
    """A module that came with the program, where the guest has no folder of the servers."""

    def __init__(self, fullname, path, text):
        super().__init__(fullname, path)
        self._text = text

    def path_stats(self, path):
        raise OSError

    def get_data(self, path):
        return self._text.encode()


def names_in(folder):
    try:
        return {name[:-3] if name.endswith(".py") else name for name in os.listdir(folder)}
    except OSError:
        return set()


def python_name(name):
    """As `src/core/python-package.ts` has it."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if plain[:1].isdigit():
        return "_" + plain
    return plain + "_" if keyword.iskeyword(plain) else plain


def missing(parts, roots):
    kind = "server" if parts[0] == "servers" else "skill"
    for root in roots:
        if any(python_name(name) == parts[1] for name in names_in(root)):
            return 'The %s "%s" has no Python module; use it from a TypeScript program' % (kind, parts[1])
    return 'There is no %s "%s" that a program can import' % (kind, parts[1])


# Errors


def flatten(error):
    """Whatever the program raised, as plain data, with positions in the author's lines."""
    try:
        name = type(error).__name__
        message = str(error.msg if isinstance(error, SyntaxError) else error)
        if isinstance(error, MemoryError) and not message:
            message = "The program asked for more memory than there is; process the data in smaller pieces, or raise sandbox.memory"
        flat = {"name": name, "message": clip(message), "stack": clip(describe(error))}
        line = line_of(error)
        if line is not None:
            flat["line"] = line
        fields = {key: value for key, value in error.__dict__.items() if is_field(key, value)}
        if fields and len(json.dumps(fields)) <= MAX_TEXT:
            flat["fields"] = fields
        return flat
    except BaseException:
        return {"name": type(error).__name__, "message": "The program raised something that cannot be read", "stack": ""}


def is_field(key, value):
    try:
        to_json(value, key, key)
        return not key.startswith("_") and key not in ("name", "message", "stack")
    except TypeError:
        return False


def line_of(error):
    if isinstance(error, SyntaxError) and error.filename == PROGRAM:
        return error.lineno or None
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == PROGRAM:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def describe(error):
    """A traceback as Python prints it, without what is not the author's."""
    import traceback

    if isinstance(error, SyntaxError) and error.filename == PROGRAM:
        # The interpreter would look for the line in a file of that name, which may be another one.
        error.text = linecache.getline(PROGRAM, error.lineno or 0) or None
    summary = traceback.TracebackException(type(error), error, error.__traceback__)
    clean(summary, set())
    if not summary.stack:
        return "".join(summary.format_exception_only()).rstrip("\n")
    return "".join(summary.format()).rstrip("\n")


def clean(summary, seen):
    if summary is None or id(summary) in seen:
        return
    seen.add(id(summary))
    summary.stack[:] = [frame for frame in summary.stack if not is_internal(frame.filename)]
    for frame in summary.stack:
        frame.filename = author_path(frame.filename)
    if getattr(summary, "filename", None) is not None:
        summary.filename = author_path(summary.filename)
    for other in (summary.__cause__, summary.__context__, *(getattr(summary, "exceptions", None) or ())):
        clean(other, seen)


def is_internal(path):
    return path in INTERNAL or path.startswith("<frozen importlib")


def author_path(path):
    return path[len(WORKSPACE) + 1 :] if path.startswith(WORKSPACE + "/") else path


def clip(text):
    """Without the middle when it is long: of a traceback the last lines say most, of a message the first."""
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    return "%s\n…\n%s" % (text[:half], text[-half:])


# The program


class Program:
    """The program as the module `__main__`; its value is what it emits, or else its global `result`."""

    def __init__(self, frame):
        self._code = frame["code"]
        self._imports = frame["imports"]
        self._value_bytes = frame["valueBytes"]
        self._is_checked = frame.get("typeCheck") is True
        self._emitted = None
        self._module = types.ModuleType("__main__")
        self._module.__dict__.update(__file__=PROGRAM, __builtins__=__builtins__, emit=self.emit)

    def emit(self, value):
        """Gives the value of the program, instead of `result`. The last one counts."""
        self._emitted = to_json(value, "The emitted value", "value")

    def run(self):
        """How it ended: an error, JSON of its value, or a number that it wants to exit with."""
        sys.modules["__main__"] = self._module
        sys.argv = [PROGRAM]
        lines = io.StringIO(self._code, newline=None).readlines()
        linecache.cache[PROGRAM] = (len(self._code), None, lines, PROGRAM)
        namespace = self._module.__dict__
        try:
            code = compile(self._code, PROGRAM, "exec", dont_inherit=True)
            mistakes = checked(self._code, self._imports, lines) if self._is_checked else None
            if mistakes is not None:
                return mistakes
            if self._imports:
                exec(compile(self._imports, "<generated imports>", "exec", dont_inherit=True), namespace)
            exec(code, namespace)
        except SystemExit as error:
            status = exit_status(error.code)
            if status != 0:
                return status
        except BaseException as error:
            return flatten(error)
        try:
            return self._value(namespace)
        except BaseException as error:
            return flatten(error)

    def _value(self, namespace):
        text = self._emitted
        if text is None:
            text = to_json(namespace.get("result"), "The value of the program", "result")
        size = len(encoded(text))
        if size <= self._value_bytes:
            return text
        message = "The value is %d bytes of JSON, over the limit of %d; write it to a file and give the path"
        return {"name": "LimitError", "message": message % (size, self._value_bytes), "stack": ""}


def checked(code, imports, lines):
    """The program's wrong calls as an error, or None; what cannot be checked runs."""
    try:
        return checker().check_calls(code, imports, lines)
    except Exception:
        return None


def checker():
    name = "_workcell_check"
    if name not in sys.modules:
        module = types.ModuleType(name)
        SourceFileLoader(name, CHECK).exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]


def exit_status(code):
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def flush():
    """Writes out what the program has left in files that it did not close, and in its output."""
    files = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
    for each in gc.get_objects():
        if not issubclass(type(each), files):
            continue
        try:
            # Another thread may hold a pipe, and wait for its reader.
            if stat.S_ISREG(os.fstat(each.fileno()).st_mode):
                each.flush()
        except (OSError, ValueError):
            pass
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass


def prepare():
    """Loads what wrappers, errors and checks need, as long as nobody waits for a program."""
    for name in ("typing", "threading", "traceback", "inspect"):
        if select.select([CHANNEL], [], [], 0)[0]:
            return
        __import__(name)
    if not select.select([CHANNEL], [], [], 0)[0]:
        checker()


def main():
    os.set_inheritable(CHANNEL, False)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    sys.modules["_workcell"] = sys.modules["__main__"]
    send('{"t":"waiting"}')
    prepare()
    frame = calls.receive()
    if frame is None:
        os._exit(0)
    told.update(frame.get("session") or {})
    sys.meta_path.insert(0, Modules(frame["modules"]))
    # A file of the workspace is importable, and never hides a module of the standard library.
    at = next((index for index, path in enumerate(sys.path) if path.endswith("-packages")), len(sys.path))
    sys.path.insert(at, WORKSPACE)
    process = os.getpid()
    end = Program(frame).run()
    try:
        atexit._run_exitfuncs()
    except BaseException:
        pass
    flush()
    if os.getpid() != process:
        leave_fork(end)
    if isinstance(end, int):
        os._exit(end)
    if isinstance(end, str):
        finish('{"kind":"value","value":%s}' % end)
    finish('{"kind":"error","error":%s}' % json.dumps(end))


def leave_fork(end):
    """The end of a process that the program has forked is not the end of the program."""
    if isinstance(end, int):
        os._exit(end)
    if isinstance(end, str):
        os._exit(0)
    print(end["stack"] or end["message"], file=sys.stderr, flush=True)
    os._exit(1)


main()
