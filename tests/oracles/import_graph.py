"""Which module of a package imports which, read from its source; nothing is imported.

As a script it prints how a package is built: ``python tests/oracles/import_graph.py [FOLDER]``.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """One import statement of a package that names another module of it.

    Modules are named from the root of the package, such as ``networks.layers``; the root itself is
    ``""``.
    """

    importer: str
    imported: str
    path: Path  # from the folder that holds the package
    line: int
    text: str
    for_types: bool  # only type checkers execute it


def module_name(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(root: Path) -> dict[str, Path]:
    """Paths of all modules below the folder of a package, by name."""
    return {module_name(root, path): path for path in sorted(root.rglob("*.py"))}


def imports_of_package(root: Path) -> list[Import]:
    """All imports of a package's modules by one another, wherever in a file they stand."""
    known = modules(root)
    return [
        found
        for path in known.values()
        for found in imports_of_file(root, path, path.read_text(encoding="utf-8"), known)
    ]


def imports_of_file(root: Path, path: Path, source: str, known: Mapping) -> Iterator[Import]:
    """The imports of one module of the package, of which `known` has all names."""
    name = module_name(root, path)
    lines = source.splitlines()
    tree = ast.parse(source)
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    package = [part for part in package if part]
    for_types = _lines_for_types(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            targets = [".".join(parts[1:]) for parts in names if parts[0] == root.name]
        elif isinstance(node, ast.ImportFrom):
            targets = _targets(node, package, root.name, known)
        else:
            continue
        text = lines[node.lineno - 1].strip()
        for target in dict.fromkeys(targets):
            if target != name:
                place = path.relative_to(root.parent)
                yield Import(name, target, place, node.lineno, text, node.lineno in for_types)


def _targets(node: ast.ImportFrom, package: list[str], root: str, known: Mapping) -> list[str]:
    if node.level:
        base = package[: len(package) - node.level + 1]
    elif (node.module or "").split(".")[0] == root:
        return _modules_named((node.module or "").split(".")[1:], node, known)
    else:
        return []
    return _modules_named(base + (node.module.split(".") if node.module else []), node, known)


def _modules_named(base: list[str], node: ast.ImportFrom, known: Mapping) -> list[str]:
    """``from . import a`` imports the module a if there is one, else a name of the package."""
    targets = []
    for alias in node.names:
        module = ".".join([*base, alias.name])
        targets.append(module if module in known else ".".join(base))
    return targets


def _lines_for_types(tree: ast.Module) -> set[int]:
    """Lines below ``if TYPE_CHECKING:``."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for part in node.body
        for line in range(part.lineno, part.end_lineno + 1)
    }


def find_circle(arrows: set[tuple[str, str]]) -> list[str] | None:
    """Names that lead back to the first of them, or None if there is no circle."""
    following: dict[str, list[str]] = {}
    for start, end in sorted(arrows):
        following.setdefault(start, []).append(end)
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str] | None:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return None
        for other in following.get(name, ()):
            if (circle := walk(other, [*way, name])) is not None:
                return circle
        done.add(name)
        return None

    return next((c for name in list(following) if (c := walk(name, [])) is not None), None)


def floors(rooms: set[str], arrows: set[tuple[str, str]]) -> dict[str, int]:
    """Floor of each room: 0 if it imports nothing, else one above the highest that it imports."""
    heights: dict[str, int] = {}

    def height(room: str) -> int:
        if room not in heights:
            below = [height(end) for start, end in arrows if start == room]
            heights[room] = 1 + max(below) if below else 0
        return heights[room]

    return {room: height(room) for room in rooms}


def arrows_between(root: Path, part_of: Callable[[str], str]) -> set[tuple[str, str]]:
    """The importing and the imported part of a package, for all imports between two of them."""
    arrows = {
        (part_of(found.importer), part_of(found.imported))
        for found in imports_of_package(root)
        if not found.for_types
    }
    return {(start, end) for start, end in arrows if start != end and start and end}


def main(root: Path) -> None:
    """Print parts (top-level modules and packages), floors, arrows, circles and long files."""
    parts = {name.split(".")[0] for name in modules(root)} - {""}
    arrows = arrows_between(root, lambda name: name.split(".")[0])
    circle = find_circle(arrows)
    print(f"{len(parts)} parts, {len(arrows)} arrows between them, ", end="")
    if circle is not None:
        print(f"a circle: {' -> '.join(circle)}")
    else:
        heights = floors(parts, arrows)
        print(f"{1 + max(heights.values())} floors, no circle")
        for floor in sorted(set(heights.values()), reverse=True):
            names = sorted(part for part, height in heights.items() if height == floor)
            print(f"  {floor}: {', '.join(names)}")
    print(f"{len(modules(root))} modules, {len(arrows_between(root, str))} arrows between them")
    lines = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in root.rglob("*.py")
    }
    print(f"{sum(lines.values())} lines; files of more than 400:")
    for path, length in Counter(lines).most_common():
        if length > 400:
            print(f"  {length} {path.relative_to(root)}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / "sklearn_decaf"))
