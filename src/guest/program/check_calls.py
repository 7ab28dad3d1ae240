"""Finds the calls of tools in a program that are wrong whatever the data are, before anything of it runs.

What cannot be known counts as right: arguments that are no literals or stand behind `*` and `**`, names that something
else than one import binds as well, types that JSON does not have, and further keys of a TypedDict, which may be open.
"""
import ast
import functools
import importlib
import inspect
import re
import types
import typing

MOST_SHOWN = 10
MOST_TOLD = 1000
MAX_SHOWN = 200
PLAIN = (str, int, float, bool, list, dict, type(None))
# `A | B` is a type of its own since Python 3.10.
UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))


def check_calls(code, imports, lines):
    """All mistakes as the error of a program that was not run, as `src/codegen/type-errors.ts` has it; None for none."""
    program = ast.parse(code)
    paths = imported_paths([ast.parse(imports), program])
    mistakes = []
    for node in ast.walk(program) if paths else ():
        tool = find_tool(dotted_path(node.func, paths)) if isinstance(node, ast.Call) else None
        if tool is None:
            continue
        for place, kind, message in misfits(node, tool):
            text = lines[place.lineno - 1].rstrip("\r\n")
            before = text.encode()[: place.col_offset].decode("utf-8", "ignore")
            mistakes.append((place.lineno, len(before) + 1, kind, message, text, before))
    return report(sorted(mistakes)) if mistakes else None


# Names


def imported_paths(trees):
    """The dotted path of what each name stands for, of the names that are bound by imports of one and the same thing."""
    bound = {}
    for tree in trees:
        for node in ast.walk(tree):
            for name, path in bindings(node):
                bound.setdefault(name, set()).add(path)
    if "*" in bound:
        return {}
    return {name: min(paths) for name, paths in bound.items() if len(paths) == 1 and None not in paths}


def bindings(node):
    """The names that a node binds, each with its path if that is known; `*` for any name."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            path = alias.name if alias.asname else alias.name.partition(".")[0]
            yield alias.asname or path, path
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name, None if node.level else "%s.%s" % (node.module, alias.name)
    elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
        while isinstance(node, ast.Attribute):
            node = node.value
        yield getattr(node, "id", ""), None
    elif isinstance(node, ast.Name):
        if node.id in ("exec", "globals"):
            yield "*", None
        elif not isinstance(node.ctx, ast.Load):
            yield node.id, None
    elif isinstance(node, ast.arg):
        yield node.arg, None
    elif not isinstance(node, ast.alias):
        # Functions, classes, caught exceptions, patterns, parameters of types.
        for name in (getattr(node, "name", None), getattr(node, "rest", None)):
            if isinstance(name, str):
                yield name, None


def dotted_path(node, paths):
    if isinstance(node, ast.Name):
        return paths.get(node.id)
    base = dotted_path(node.value, paths) if isinstance(node, ast.Attribute) else None
    return base and "%s.%s" % (base, node.attr)


@functools.lru_cache(maxsize=None)
def find_tool(path):
    """The function at a path below `servers`, or None."""
    if path is None or not path.startswith("servers."):
        return None
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception:
        # What is not there is an error at the line where the program asks for it.
        return None
    return found if inspect.isfunction(found) else None


# Calls


def misfits(call, tool):
    """What is wrong with a call: where, the kind of mistake as mypy names it, and a sentence each."""
    name = tool.__name__
    slots, keywords, more_slots, more_keywords = parameters_of(tool)
    given, literals = set(), Literals(tool.__globals__)
    # What stands behind `*` and `**` may be anything that is not given otherwise.
    is_open = any(isinstance(each, ast.Starred) for each in call.args) or any(each.arg is None for each in call.keywords)
    for index, value in enumerate(call.args):
        if isinstance(value, ast.Starred):
            break
        parameter = slots[index] if index < len(slots) else more_slots
        if parameter is None:
            takes = "no more than %d positional" % len(slots) if slots else "only named"
            yield value, "call-arg", "%s() takes %s arguments" % (name, takes)
            is_open = True
            break
        given.add(parameter.name)
        yield from literals.misfits_of(value, parameter.annotation, parameter.name, name)
    for keyword in call.keywords:
        parameter = keywords.get(keyword.arg, more_keywords)
        if keyword.arg is None:
            continue
        if parameter is None:
            import difflib

            hint = "".join("; did you mean '%s'?" % each for each in difflib.get_close_matches(keyword.arg, keywords, 1))
            yield keyword, "call-arg", "%s() has no argument '%s'%s" % (name, keyword.arg, hint)
        elif keyword.arg in given:
            yield keyword, "call-arg", "%s() is given '%s' twice" % (name, keyword.arg)
        else:
            given.add(keyword.arg)
            yield from literals.misfits_of(keyword.value, parameter.annotation, keyword.arg, name)
    for parameter in {each.name: each for each in (*slots, *keywords.values())}.values():
        if parameter.default is parameter.empty and parameter.name not in given and not is_open:
            yield call, "call-arg", "%s() needs '%s', which is %s" % (name, parameter.name, shown(parameter.annotation))


def parameters_of(tool):
    """Those that take positional arguments, those that take named ones, and those for further ones of either kind."""
    parameters = inspect.signature(tool).parameters.values()
    slots = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    keywords = {each.name: each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    more = {each.kind: each for each in parameters}
    return slots, keywords, more.get(inspect.Parameter.VAR_POSITIONAL), more.get(inspect.Parameter.VAR_KEYWORD)


# Types


class Literals:
    """Compares literals with types, whose names are those of one module."""

    def __init__(self, namespace):
        self._namespace = namespace
        self._known = {}

    def misfits_of(self, value, hint, argument, tool):
        try:
            found = self._misfits(value, hint, argument)
        except (RecursionError, TypeError):
            # A type without end, or one of which nobody can tell whether it was met before.
            found = ()
        return [(node, "arg-type", "%s of %s() %s" % (place, tool, reason)) for node, place, reason in found]

    def _misfits(self, node, hint, place):
        """The nodes that do not fit, each with its place in the argument and the reason."""
        exact = self._evaluated(hint)
        if (node, exact) not in self._known:
            self._known[node, exact] = self._compare(node, exact, hint, place)
        return self._known[node, exact]

    def _compare(self, node, exact, hint, place):
        if not self._is_alike(node, exact):
            return [(node, place, "is %s, not %s" % (described(node), shown(hint)))]
        origin, arguments = typing.get_origin(exact), typing.get_args(exact)
        if origin in UNIONS:
            options = [self._misfits(node, each, place) for each in arguments if self._is_alike(node, each)]
            if len(options) == 1:
                return options[0]
            return [] if [] in options else [(node, place, "fits no form of %s" % shown(hint))]
        items, missing = (), ()
        if isinstance(node, (ast.List, ast.Tuple)) and origin is list:
            items = [(each, arguments[0], "%s[%d]" % (place, index)) for index, each in enumerate(node.elts)]
        elif isinstance(node, ast.Dict):
            entries, is_whole = entries_of(node)
            hints = exact.__annotations__ if is_typed_dict(exact) else dict.fromkeys(entries, (arguments or [typing.Any])[-1])
            items = [(entries[key], hints[key], "%s[%r]" % (place, key)) for key in entries if key in hints]
            if is_typed_dict(exact) and is_whole:
                lacking = sorted(exact.__required_keys__.difference(entries))
                missing = [(node, place, "lacks '%s', which is %s" % (key, shown(hints[key]))) for key in lacking]
        return [*missing, *(misfit for item in items for misfit in self._misfits(*item))]

    def _is_alike(self, node, hint):
        """Whether it can be of the type, as far as it shows without looking into it."""
        exact, kind = self._evaluated(hint), kind_of(node)
        origin = typing.get_origin(exact)
        if kind is None:
            return True
        if origin in UNIONS:
            return any(self._is_alike(node, each) for each in typing.get_args(exact))
        if origin is typing.Literal:
            if not isinstance(node, ast.Constant):
                return any(kind is type(each) for each in typing.get_args(exact))
            return any(node.value == each and (kind is bool) is isinstance(each, bool) for each in typing.get_args(exact))
        plain = dict if is_typed_dict(exact) else type(None) if exact is None else origin or exact
        return plain not in PLAIN or kind is plain or (kind is int and plain is float)

    def _evaluated(self, hint):
        try:
            while isinstance(hint, (str, typing.ForwardRef)):
                hint = eval(getattr(hint, "__forward_arg__", hint), self._namespace)
            return hint
        except Exception:
            return typing.Any


def is_typed_dict(hint):
    return isinstance(hint, type) and hasattr(hint, "__required_keys__")


def entries_of(node):
    """The entries of a dict that nothing behind them can replace, and whether these are all."""
    keys = [getattr(key, "value", None) for key in node.keys]
    start = max((index for index, key in enumerate(keys, 1) if not isinstance(key, str)), default=0)
    return dict(zip(keys[start:], node.values[start:])), start == 0


KINDS = {
    ast.JoinedStr: str,
    **dict.fromkeys((ast.List, ast.Tuple, ast.ListComp), list),
    **dict.fromkeys((ast.Dict, ast.DictComp), dict),
    **dict.fromkeys((ast.Set, ast.SetComp), set),
}


def kind_of(node):
    """Its type in JSON, where tuples are lists and 1.0 is whole; None for what depends on the data."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        kind = kind_of(node.operand)
        return kind if kind in (int, float) else None
    if not isinstance(node, ast.Constant):
        return KINDS.get(type(node))
    return int if isinstance(node.value, float) and node.value.is_integer() else type(node.value)


def described(node):
    kind = kind_of(node)
    if isinstance(node, ast.Constant):
        text = repr(node.value)
        return text if len(text) <= MAX_SHOWN else "a long %s" % kind.__name__
    return "a %s" % kind.__name__


def shown(hint):
    text = "Any" if hint is inspect.Parameter.empty else getattr(hint, "__forward_arg__", hint)
    if not isinstance(text, str):
        text = hint.__name__ if isinstance(hint, type) else re.sub(r"typing\.|ForwardRef\('(.*?)'\)", r"\1", repr(hint))
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


# The report


def report(mistakes):
    line, _, _, message, _, _ = mistakes[0]
    more = "; %d more" % (len(mistakes) - 1) if len(mistakes) > 1 else ""
    blocks = [block(*each) for each in mistakes[:MOST_SHOWN]]
    if len(mistakes) > MOST_SHOWN:
        blocks.append("and %d more" % (len(mistakes) - MOST_SHOWN))
    diagnostics = [dict(zip(("line", "column", "code", "message"), each)) for each in mistakes[:MOST_TOLD]]
    return {
        "name": "TypeCheckError",
        "message": "%s (line %d%s); nothing was run" % (message, line, more),
        "stack": "\n\n".join(blocks),
        "line": line,
        "fields": {"diagnostics": diagnostics},
    }


def block(line, column, kind, message, text, before):
    mark = re.sub(r"[^\t]", " ", before) + "^"
    place = "    at program.py:%d:%d" % (line, column)
    return "%s: %s\n%s\n\n%5d | %s\n      | %s" % (kind, message, place, line, text, mark)
