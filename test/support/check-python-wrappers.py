"""Tells what is wrong with generated packages: `check-python-wrappers.py <folder>`, where the folder holds `servers/`.

Each module is compiled and imported against a runtime that records calls, its annotations are evaluated, and each
function whose parameters have defaults is called with none of those. Prints one JSON list of problems.
"""

import importlib
import inspect
import json
import pathlib
import sys
import typing

problems = []
root = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(root))
sys.dont_write_bytecode = True


def check_module(package, path):
    name = path.stem
    compile(path.read_text(encoding='utf-8'), str(path), 'exec')
    module = importlib.import_module(f'{package.__name__}.{name}')
    imported = {line.split()[1] for line in path.read_text(encoding='utf-8').split('\n') if line.startswith('from ')}
    assert imported <= {'__future__', 'typing', '..runtime'}, imported
    function = getattr(module, name)
    assert getattr(package, name) is function, 'the package does not export the function'
    hints = typing.get_type_hints(function)
    assert set(hints) == {*inspect.signature(function).parameters, 'return'}, hints
    for value in list(vars(module).values()):
        if isinstance(value, type) and value.__module__ == module.__name__:
            typing.get_type_hints(value)
    check_call(function, hints)


def check_call(function, hints):
    signature = inspect.signature(function)
    required = {
        name: None
        for name, parameter in signature.parameters.items()
        if parameter.default is parameter.empty and parameter.kind is parameter.KEYWORD_ONLY
    }
    positional = [{}] if any(p.kind is p.POSITIONAL_ONLY for p in signature.parameters.values()) else []
    server, tool, sent = function(*positional, **required)
    assert isinstance(server, str) and isinstance(tool, str)
    assert sent == required, f'{sent} is sent, not {required}'


for package_path in sorted((root / 'servers').iterdir()):
    if not (package_path / '__init__.py').exists():
        continue
    try:
        package = importlib.import_module(f'servers.{package_path.name}')
    except Exception as error:
        problems.append(f'{package_path.name}: {error!r}')
        continue
    for path in sorted(package_path.glob('*.py')):
        if path.name == '__init__.py':
            continue
        try:
            check_module(package, path)
        except Exception as error:
            problems.append(f'{package_path.name}/{path.name}: {error!r}'[:2000])

print(json.dumps(problems))
