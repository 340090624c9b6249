"""What rows are made of: timed commands, the places they work in, the engines they compare."""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

BUSYBOX = "bench-busybox"  # every name that a row gives to an image or a container starts with bench-


class Failed(Exception):
    """A command that did not end with 0."""


def execute(argv, env=None):
    """Runs a command with its output thrown away; returns its seconds from spawn to wait."""
    errors = os.memfd_create("stderr")
    try:
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                   (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0), (os.POSIX_SPAWN_DUP2, errors, 2)]
        argv = [str(word) for word in argv]
        start = time.perf_counter()
        pid = os.posix_spawnp(argv[0], argv, env or os.environ, file_actions=actions)
        try:
            status = os.waitpid(pid, 0)[1]
        except BaseException:  # interrupted: nothing may go on working in directories that are about to vanish
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
            raise
        seconds = time.perf_counter() - start
        if status != 0:
            lines = os.pread(errors, 1 << 20, 0).decode(errors="replace").strip().splitlines()
            raise Failed(lines[-1][:200] if lines else f"{argv[0]} ended with status {status:#x}")
        return seconds
    finally:
        os.close(errors)


def shell(script):
    """A timed `sh -c` that fails where any part of a pipe fails."""
    return lambda: execute(["bash", "-o", "pipefail", "-ec", script])


@dataclass
class Subject:
    """One column of a row. `run` gives seconds (or whatever the row's unit is made of); the rest is not timed."""
    name: str
    run: Callable[[], float]
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None


class Engine:
    """A command line like docker's, on data of its own below `area` where it can be told so."""
    name = ""
    prefix = []

    def __init__(self, area):
        self.area = area
        self.home = area.dir / self.name
        self.env = dict(os.environ, TMPDIR=str(area.tmp), DOCKER_BUILDKIT="1")

    def time(self, *args):
        return execute([*self.prefix, *args], self.env)

    def do(self, *args):
        done = subprocess.run([*self.prefix, *map(str, args)], env=self.env, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            raise Failed(f"{self.name} {args[0]}: {lines[-1][:200] if lines else done.returncode}")
        return done.stdout

    def prepare(self):
        self.do("import", self.area.busybox_tar, BUSYBOX)

    def forget_images(self):
        """No image of the bench but busybox, no cache of its builds, nothing of them still being deleted."""
        names = self.do("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        names = [n.removeprefix("localhost/") for n in names]
        for name in names:
            if name.startswith("bench-") and not name.startswith(BUSYBOX):
                self.do("rmi", "-f", name)

    def forget(self):
        containers = [n for n in self.do("ps", "-a", "--format", "{{.Names}}").split() if n.startswith("bench-")]
        if containers:
            self.do("rm", "-f", *containers)
        self.forget_images()

    def settle(self):
        """Waits until nothing of earlier commands is left to do."""

    def close(self):
        self.forget()


class Estiba(Engine):
    name = "estiba"
    binary = "estiba"

    def __init__(self, area):
        super().__init__(area)
        self.prefix = [self.binary, "--root", str(self.home / "root"), "--exec-root", str(self.home / "run")]

    @classmethod
    def missing(cls):
        return None if shutil.which(cls.binary) else f"no such program: {cls.binary}"

    def forget_images(self):
        super().forget_images()
        self.do("image", "prune", "-f")
        self.do("builder", "prune", "-af")

    def settle(self):  # the sweep after a command works in the background
        end = time.monotonic() + 120
        while any((self.home / "root/trash").glob("*")) and time.monotonic() < end:
            time.sleep(0.02)

    def close(self):
        try:
            super().close()
            self.settle()
        finally:
            self._close_network()

    def _close_network(self):
        digits = hashlib.sha256(str(self.home / "root").encode()).hexdigest()[:8]
        for command in (f"ip link del eb-{digits}", f"nft delete table inet estiba_{digits}"):
            subprocess.run(command.split(), stderr=subprocess.DEVNULL, check=False)


class Podman(Engine):
    name = "podman"

    def __init__(self, area):
        super().__init__(area)
        self.run = tempfile.mkdtemp(prefix="bench-", dir="/run")  # it takes no more than 50 characters
        self.prefix = ["podman", "--root", str(self.home / "root"), "--runroot", f"{self.run}/run", "--tmpdir",
                       f"{self.run}/tmp", "--cgroup-manager", "cgroupfs", "--storage-driver", "overlay"]
        self.had_bridge = Path("/sys/class/net/podman0").exists()
        self.home.mkdir()
        limits = '["nofile=1024:1024", "nproc=1024:1024"]'  # its own are more than some machines allow
        (self.home / "containers.conf").write_text(f"[containers]\ndefault_ulimits = {limits}\n")
        self.env["CONTAINERS_CONF"] = str(self.home / "containers.conf")

    @classmethod
    def missing(cls):
        return None if shutil.which("podman") else "not installed (apt-get install podman)"

    def prepare(self):
        super().prepare()
        try:
            self.do("run", "--rm", BUSYBOX, "true")
        except Failed as failure:
            if not shutil.which("runc"):
                raise
            self.area.note(f"podman: with runc, as its own runtime does not work here: {failure}")
            self.prefix += ["--runtime", "runc"]

    def forget_images(self):
        super().forget_images()
        self.do("image", "prune", "-f")

    def close(self):
        try:
            super().close()
        finally:
            subprocess.run(["umount", self.home / "root/overlay"], stderr=subprocess.DEVNULL, check=False)
            shutil.rmtree(self.run, ignore_errors=True)
            if not self.had_bridge:
                subprocess.run(["ip", "link", "del", "podman0"], stderr=subprocess.DEVNULL, check=False)


class Docker(Engine):
    """The machine's own dockerd, wherever it keeps its data: its cache is its users', and stays."""
    name = "docker"
    prefix = ["docker"]

    @classmethod
    def missing(cls):
        if not shutil.which("docker"):
            return "not installed (apt-get install docker.io)"
        asked = subprocess.run("docker version --format {{.Server.Version}}".split(), capture_output=True, check=False)
        return "no dockerd answers (apt-get install docker.io, start dockerd)" if asked.returncode else None

    def close(self):
        super().close()
        self.do("rmi", "-f", BUSYBOX)


class Area:
    """A directory where sources, engines and floors live side by side."""

    def __init__(self, path, floor, engines, note):
        self.dir, self.floor, self.note = path, floor, note
        self.tmp, self.work = path / "tmp", path / "work"
        self.engines = []
        self.bridge = None
        try:
            self._mount()
            for sub in (self.tmp, self.work, path / "floor"):
                sub.mkdir(parents=True)
            self._make_busybox()
            for kind in engines:
                self._add(kind)
        except BaseException:
            self.close()
            raise

    def _mount(self):
        self.dir.mkdir()

    def _make_busybox(self):
        """As tests/acceptance/base-images makes it; the floor's copy has the mount points as well."""
        self.rootfs, self.busybox_tar = self.dir / "rootfs", self.dir / "busybox.tar"
        for sub in ("bin", "etc", "tmp", "proc", "sys", "dev"):
            (self.rootfs / sub).mkdir(parents=True)
        shutil.copy2("/bin/busybox", self.rootfs / "bin")
        for applet in subprocess.check_output(["/bin/busybox", "--list"], text=True).split():
            if applet != "busybox":
                os.link(self.rootfs / "bin/busybox", self.rootfs / "bin" / applet)
        (self.rootfs / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        subprocess.run(["tar", "-C", self.rootfs, "-cf", self.busybox_tar, "."], check=True)
        for name in ("hosts", "hostname", "resolv.conf"):
            (self.rootfs / "etc" / name).touch()

    def _add(self, kind):
        engine = kind(self)
        self.engines.append(engine)
        try:
            engine.prepare()
        except Failed as failure:
            self.note(str(failure))  # and its cells will say so

    def run_floor(self, network, times=1):
        """`times` containers of bare system calls. The bridge is made once, outside of the timing."""
        if network == "bridge":
            if self.bridge is None:
                octet, self.bridge = os.getpid() % 250 + 1, f"ebench{os.getpid()}"
                self.gateway = f"198.18.{octet}.1"
                for words in (f"add {self.bridge} type bridge", f"set {self.bridge} up"):
                    subprocess.run(["ip", "link", *words.split()], check=True)
                subprocess.run(["ip", "address", "add", f"{self.gateway}/24", "dev", self.bridge], check=True)
            network = f"{self.bridge}/{self.gateway}"
        return lambda: execute([self.floor, "run", network, self.rootfs, self.dir / "floor", times])

    def settle(self):
        for engine in self.engines:
            engine.settle()
        subprocess.run(["sync", "-f", self.dir], check=True)

    def forget(self):
        """After a row: the next one finds nothing of it."""
        for engine in self.engines:
            try:
                engine.forget()
            except Failed as failure:
                self.note(str(failure))
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        self.settle()

    def close(self):
        for engine in self.engines:
            try:
                engine.close()
            except Failed as failure:
                self.note(str(failure))
        if self.bridge:
            subprocess.run(["ip", "link", "del", self.bridge], check=False)
        for left in (self.dir / "floor").glob("floor*-*"):  # of a floor that was interrupted
            for group in Path("/sys/fs/cgroup").glob(f"**/{left.name}"):
                group.rmdir()
        self._unmount()

    def _unmount(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class LoopArea(Area):
    """On an ext4 with a journal of its own, in a file."""

    def __init__(self, path, gigabytes, *rest):
        self.image, self.bytes = path.with_suffix(".img"), gigabytes << 30
        super().__init__(path, *rest)

    def _mount(self):
        super()._mount()
        with open(self.image, "wb") as image:
            os.posix_fallocate(image.fileno(), 0, self.bytes)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0",
                        self.image], check=True)
        subprocess.run(["mount", "-o", "loop", self.image, self.dir], check=True)

    def _unmount(self):
        end = time.monotonic() + 10
        while os.path.ismount(self.dir):
            subprocess.run(["umount", self.dir], stderr=subprocess.DEVNULL, check=False)
            if time.monotonic() > end:
                subprocess.run(["umount", "-l", self.dir], check=False)
            time.sleep(0.1)
        self.image.unlink(missing_ok=True)
        super()._unmount()
