"""The rows: for each the subjects that are measured beside one another."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from harness import BUSYBOX, Area, Failed, Subject, execute, shell


@dataclass
class Row:
    name: str
    title: str
    reach: float  # in `unit`
    unit: str     # ms, s, MB
    rounds: int
    on_loop: bool  # on the journalled file system in a file
    subjects: Callable[[Area], list]


ROWS = []


def row(name, title, reach, unit, rounds, on_loop=False):
    def keep(subjects):
        ROWS.append(Row(name, title, reach, unit, rounds, on_loop, subjects))
        return subjects
    return keep


# ---- helpers

def remove(path):
    execute(["rm", "-rf", path])


def make_tree(path, files, total, salt=""):
    """`files` files of together `total` bytes in 100 directories, no two alike."""
    size = total // files
    for i in range(100):
        (path / str(i)).mkdir(parents=True)
    for i in range(files):
        start = f"{salt}{i}:".encode()
        (path / str(i % 100) / f"{i}").write_bytes(start + b"estiba" * (size // 6) + bytes(size % 6)[len(start):])


def writing_script(directory, files, total):
    """A shell script for busybox: one process writes `files` files of together `total` bytes."""
    program = (f'BEGIN {{ block = sprintf("%{total // files - 7}s", ""); for (i = 0; i < {files}; i++) '
               '{ f = (i % 100) "/" i; printf "%6d\\n%s", i, block > f; close(f) } }')
    return f"mkdir -p {directory} && cd {directory} && mkdir $(seq 0 99) && awk '{program}'"


def context(area, name, dockerfile):
    path = area.work / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "Dockerfile").write_text(dockerfile)
    return path


def builds(area, path, *options, tag="bench-built"):
    """For every engine the same build."""
    return [Subject(e.name, lambda e=e: e.time("build", "-q", *options, "-t", tag, path)) for e in area.engines]


def floors(area, named):
    """Floors that write to area.work/copy: {name: script that says {copy}}."""
    copy = area.work / "copy"
    return [Subject(name, shell(script.format(copy=copy)), before=lambda: remove(copy))
            for name, script in named.items()]


def hashed(tree):
    """The least that a layer of `tree` costs. Not sha256sum: that of Debian does without the processor's help."""
    return Subject("tar, sha256", shell(f"tar -cC {tree} . | openssl dgst -sha256"))


def each(area, subject):
    """`subject(engine)` of every engine; one that cannot even prepare has a column that says so."""
    def failing(failure):
        def run():
            raise failure
        return run
    out = []
    for engine in area.engines:
        try:
            out.append(subject(engine))
        except Failed as failure:
            out.append(Subject(engine.name, failing(failure)))
    return out


# ---- starting containers

def starts(network):
    def subjects(area):
        options = [] if network == "bridge" else ["--network", network]
        return [Subject("system calls", area.run_floor(network))] + [
            Subject(e.name, lambda e=e: e.time("run", "--rm", *options, BUSYBOX, "true")) for e in area.engines]
    return subjects


row("run-bridge", "run --rm busybox true", 14, "ms", 30)(starts("bridge"))
row("run-none", "run --rm --network none busybox true", 10, "ms", 30)(starts("none"))
row("run-host", "run --rm --network host busybox true", 9, "ms", 30)(starts("host"))

# ---- builds of small steps

CACHED = f"""FROM {BUSYBOX}
ARG VERSION=1
ENV HOME=/app LANG=C.UTF-8
LABEL part=bench
WORKDIR /app
COPY package ./
RUN echo installing > installed
COPY src ./src
RUN echo compiling $VERSION > compiled
RUN mkdir -p /var/lib/app
WORKDIR /app/src
COPY package /etc/app.conf
RUN echo testing > tested
ENV MODE=production
EXPOSE 80
USER 1000
CMD ["true"]
"""


@row("rebuild", "build of 17 steps, all cached", 10, "ms", 30)
def rebuild(area):
    path = context(area, "rebuild", CACHED)
    (path / "package").write_text("bench 1\n")
    (path / "src").mkdir()
    for i in range(20):
        (path / "src" / f"{i}.c").write_text(f"int f{i};\n")
    subjects = builds(area, path)
    return [Subject("process start", lambda: execute([area.floor, "true"]))] + subjects


def ten_steps(network):
    def subjects(area):
        path = context(area, "steps", f"FROM {BUSYBOX}\n" + "".join(f"RUN echo {i} > /f{i}\n" for i in range(10)))
        options = [] if network == "bridge" else ["--network", network]
        return [Subject("system calls", area.run_floor(network, 10))] + builds(area, path, "--no-cache", *options)
    return subjects


row("steps-bridge", "build of 10 RUN echo, none cached", 200, "ms", 15)(ten_steps("bridge"))
row("steps-none", "the same with --network none", 130, "ms", 15)(ten_steps("none"))

# ---- many files

GIGABYTE = (20_000, 1 << 30)


@row("run-1g", "RUN that writes 1 GB in 20,000 files, less the bare command", 0.5, "s", 5, on_loop=True)
def run_1g(area):
    tree = area.work / "bare"
    path = context(area, "1g", f"FROM {BUSYBOX}\nRUN {writing_script('/big', *GIGABYTE)}\n")
    bare = lambda: execute(["/bin/busybox", "sh", "-ec", writing_script(tree, *GIGABYTE)])
    subjects = builds(area, path, "--no-cache")
    for subject, engine in zip(subjects, area.engines):
        subject.after = engine.forget
    return [Subject("bare", bare, before=lambda: remove(tree)),
            hashed(tree)] + subjects


def copy_context(area):
    path = context(area, "copy-of", f"FROM {BUSYBOX}\nCOPY tree /tree\n")
    make_tree(path / "tree", 20_000, 200_000_000)
    return path


def copy_floors(area, path):
    return floors(area, {"cp -a": f"cp -a {path}/tree {{copy}}",
                         "tar, untar": f"mkdir {{copy}}; tar -cC {path}/tree . | tar -xC {{copy}}"})


@row("copy-first", "COPY of 20,000 files (200 MB), the first time", 1.6, "s", 7, on_loop=True)
def copy_first(area):
    path = copy_context(area)

    def never_seen(engine):  # neither as an image nor by what stat says
        engine.forget()
        for file in path.glob("tree/*/*"):
            os.utime(file)
    subjects = builds(area, path, "--no-cache")
    for subject, engine in zip(subjects, area.engines):
        subject.before = lambda engine=engine: never_seen(engine)
    return copy_floors(area, path) + subjects


@row("copy-same", "the same, nothing changed", 90, "ms", 20, on_loop=True)
def copy_same(area):
    path = copy_context(area)
    return [Subject("stat of all", lambda: execute([area.floor, "stat", path]))] + builds(area, path)


@row("copy-changed", "the same, one file changed", 1.8, "s", 7, on_loop=True)
def copy_changed(area):
    path = copy_context(area)
    subjects = builds(area, path)
    for subject in subjects:
        subject.before = lambda: (path / "tree/7/7").write_text(f"{time.monotonic_ns()}\n")
    return copy_floors(area, path) + subjects


@row("commit", "commit of a stopped container with 300 MB in 15,000 files", 0.6, "s", 7, on_loop=True)
def commit(area):
    tree, size = area.work / "tree", (15_000, 300_000_000)
    execute(["/bin/busybox", "sh", "-ec", writing_script(tree, *size)])

    def subject(engine):
        def before():
            engine.do("run", "--name", "bench-writer", BUSYBOX, "sh", "-ec", writing_script("/data", *size))
        return Subject(engine.name, lambda: engine.time("commit", "bench-writer", "bench-committed"), before,
                       engine.forget)
    return [hashed(tree)] + each(area, subject)


# ---- archives

def seven_layers(area):
    """A context for an image of 1.3 GB in 30,800 files, and a tar of the same files."""
    path = context(area, "layers", f"FROM {BUSYBOX}\n" + "".join(f"COPY {i} /{i}\n" for i in range(7)))
    for i in range(7):
        make_tree(path / str(i), 4_400, 1_300_000_000 // 7, salt=f"{i}/")
    execute(["tar", "-cf", area.work / "floor.tar", "-C", path, "."])
    return path


@row("save", "save -o of 1.3 GB, 7 layers, 30,800 files", 3, "s", 5, on_loop=True)
def save(area):
    path, copy = seven_layers(area), area.work / "copy"

    def subject(engine):
        saved = area.work / f"{engine.name}.tar"
        engine.do("build", "-q", "-t", "bench-layers", path)
        return Subject(engine.name, lambda: engine.time("save", "-o", saved, "bench-layers"),
                       after=lambda: remove(saved))
    return floors(area, {"cp": f"cp {area.work}/floor.tar {{copy}}"}) + each(area, subject)


@row("load", "load -i of the same", 6, "s", 5, on_loop=True)
def load(area):
    path = seven_layers(area)

    def subject(engine):
        saved = area.work / f"{engine.name}.tar"
        engine.do("build", "-q", "-t", "bench-layers", path)
        engine.do("save", "-o", saved, "bench-layers")
        return Subject(engine.name, lambda: engine.time("load", "-q", "-i", saved), before=engine.forget)
    untar = {"untar": f"mkdir {{copy}}; tar -xf {area.work}/floor.tar -C {{copy}}"}
    return floors(area, untar) + each(area, subject)


# ---- memory

IDLE = 10


def proportional_kilobytes(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


@row("memory", "the process beside an idle container, proportional set size", 0.4, "MB", 1)
def memory(area):
    def subject(engine):
        names = [f"bench-idle{i}" for i in range(IDLE)]

        def start():
            for name in names:
                engine.do("run", "-d", "--name", name, BUSYBOX, "sleep", "1000")
            time.sleep(3)  # idle is what comes after the start

        def measure():
            total = 0
            for pid in engine.do("inspect", "-f", "{{.State.Pid}}", *names).split():
                status = Path(f"/proc/{pid}/stat").read_text()
                total += proportional_kilobytes(status.rsplit(")", 1)[1].split()[1])  # the parent's
            return total / IDLE / 1024
        return Subject(engine.name, measure, start, engine.forget)
    return each(area, subject)
