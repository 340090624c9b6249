#!/usr/bin/env python3
"""Checks every #include "module/…" against the DEPS table of cmake/modules.cmake: only lower floors may be included."""
import pathlib
import re
import sys

top = pathlib.Path(__file__).resolve().parents[2]
direct = {}
for name, rest in re.findall(r"^estiba_module\((\w+)([^)]*)\)", (top / "cmake/modules.cmake").read_text(), re.M):
    deps = re.search(r"DEPS ([\w ]+?)(?: LIBS|$)", rest)
    direct[name] = deps.group(1).split() if deps else []


def closure(module, seen=()):
    if module in seen:
        sys.exit(f"layers: circle through {module}")
    out = set()
    for dep in direct[module]:
        out |= {dep} | closure(dep, (*seen, module))
    return out


allowed = {module: closure(module) | {module} for module in direct}
allowed["main"] = set(direct) | {"main"}
wrong = []
checked = 0
for path in sorted((top / "src").rglob("*")):
    if path.suffix not in (".h", ".cc"):
        continue
    module = path.relative_to(top / "src").parts[0]
    if module not in allowed:
        wrong.append(f"{path}: module {module} is not in cmake/modules.cmake")
        continue
    for number, line in enumerate(path.read_text().splitlines(), 1):
        include = re.match(r'\s*#include "(\w+)/', line)
        if include:
            checked += 1
            if include.group(1) not in allowed[module]:
                wrong.append(f"{path.relative_to(top)}:{number}: {module} may not include {include.group(1)}")
print("\n".join(wrong) if wrong else f"layers: {checked} includes stay on their floors")
sys.exit(bool(wrong))
