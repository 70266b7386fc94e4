"""Real things: an image that is built and run, a browser that opens a page. Each fixture starts what it needs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SUITE = "trixie"
BASE = "docker.io/library/debian:13-slim"
IMAGE = "ci-bridge:e2e"
TOOLS = ROOT / ".cache" / "e2e"


def need(*programs: str, packages: str) -> None:
    """Fail, and say what to install; an end-to-end test that quietly does not run proves nothing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} not found: apt-get install {packages} (.ci/run does it)", pytrace=False)


def tool(name: str) -> str:
    """The locked tool of this name."""
    path = TOOLS / "bin" / name
    if not path.exists():
        pytest.fail(f"{path} not found: `make test-all` installs it", pytrace=False)
    return str(path)


# ---- container


@dataclass(frozen=True)
class Engine:
    """podman with a storage of its own, so that it neither sees nor leaves anything."""

    folder: Path

    def command(self, *arguments: str, env: Mapping[str, str] | None = None) -> list[str]:
        variables = {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            **(env or {}),
        }
        assignments = [f"{name}={value}" for name, value in variables.items()]
        return [*as_root(), "env", *assignments, "podman", *arguments]

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments, env=env), capture_output=True, text=True, timeout=timeout)

    def check(self, *arguments: str, timeout: float = 120) -> str:
        done = self.run(*arguments, timeout=timeout)
        assert done.returncode == 0, f"podman {arguments[0]} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout


def as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


def debian_mirror() -> str:
    """The package mirror that this machine itself uses."""
    folder = Path("/etc/apt")
    for path in (
        *sorted(folder.glob("sources.list.d/*.sources")),
        folder / "sources.list",
        *folder.glob("sources.list.d/*.list"),
    ):
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            words = [word for word in line.split() if word.startswith(("http://", "https://"))]
            if line.startswith(("URIs:", "deb ")) and words and "security" not in words[0]:
                return words[0]
    pytest.fail("no Debian mirror in /etc/apt", pytrace=False)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    need("podman", "runc", packages="podman runc")
    folder = tmp_path_factory.mktemp("engine")
    # A machine without CAP_SYS_RESOURCE cannot raise its limits, which the defaults would try to do.
    (folder / "containers.conf").write_text(
        "[containers]\n"
        'default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'
        'netns = "host"\n'
        "[engine]\n"
        'runtime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    )
    engine = Engine(folder)
    yield engine
    engine.run("rm", "--all", "--force", "--time", "0")
    subprocess.run([*as_root(), "rm", "-rf", str(folder / "graph"), str(folder / "run")], check=False)


@pytest.fixture(scope="session")
def base(engine: Engine) -> str:
    """A stand-in for the image's base: the same packages, made here."""
    need("mmdebstrap", packages="mmdebstrap")
    context = engine.folder / "base"
    context.mkdir()
    tar = context / "base.tar"
    subprocess.run(
        [*as_root(), "mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates",
         "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
         "--dpkgopt=path-exclude=/usr/share/doc/*", SUITE, str(tar), f"deb {debian_mirror()} {SUITE} main"],
        check=True, timeout=600,
    )  # fmt: skip
    engine.check("import", "--quiet", "--change", 'CMD ["bash"]', str(tar), "localhost/base:plain")
    subprocess.run([*as_root(), "rm", str(tar)], check=True)
    # Where a proxy with a certificate of its own stands before the package index, the build must know it.
    recipe = "FROM localhost/base:plain\n"
    if CERTIFICATES.exists():
        shutil.copy(CERTIFICATES, context / "certificates.crt")
        recipe += f"COPY certificates.crt {CERTIFICATES}\n"
    (context / "Dockerfile").write_text(recipe)
    engine.check("build", "--format", "docker", "--tag", BASE, str(context))
    return BASE


@pytest.fixture(scope="session")
def image(engine: Engine, base: str) -> str:
    """The project's image, built from its Dockerfile."""
    assert f"ARG BASE={base.rpartition('/')[2]}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    # The format that builds through Docker's interface have too, so that these find its layers.
    engine.check("build", "--format", "docker", "--tag", IMAGE, str(ROOT), timeout=1200)
    return IMAGE


VARIABLES = {
    "HOME": "/github/home",
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_WORKSPACE": "/github/workspace",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_EVENT_PATH": "/github/workflow/event.json",
    "GITHUB_OUTPUT": "/github/file_commands/set_output_1",
    "GITHUB_STEP_SUMMARY": "/github/file_commands/step_summary_1",
    "GITHUB_REPOSITORY": "example/shop",
    "GITHUB_SHA": "0123456789abcdef0123456789abcdef01234567",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_REF_NAME": "main",
    "GITHUB_REF_TYPE": "branch",
    "GITHUB_RUN_ID": "4711",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_SERVER_URL": "https://github.com",
}


@dataclass
class Runner:
    """Starts the image as GitHub's runner starts a container action: its folders, variables and inputs."""

    engine: Engine
    image: str
    folder: Path
    options: list[str] = field(default_factory=list)
    variables: Mapping[str, str] = field(default_factory=lambda: VARIABLES)

    def __post_init__(self) -> None:
        for name in ("home", "workflow", "file_commands", "workspace"):
            (self.folder / name).mkdir(parents=True)
            (self.folder / name).chmod(0o777)
        (self.folder / "workflow/event.json").write_text('{"ref": "refs/heads/main"}')
        for name in ("set_output_1", "step_summary_1"):
            (self.folder / "file_commands" / name).touch()

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def command(self, *arguments: str, inputs: Mapping[str, str] | None = None) -> list[str]:
        given = {f"INPUT_{name.upper()}": value for name, value in (inputs or {}).items()}
        return self.engine.command(
            "run", "--rm", "--workdir", "/github/workspace", *self.options,
            *(flag for name, value in self.variables.items() for flag in ("--env", f"{name}={value}")),
            *(flag for name in given for flag in ("--env", name)),
            *(flag for name in ("home", "workflow", "file_commands", "workspace")
              for flag in ("--volume", f"{self.folder / name}:/github/{name}")),
            self.image, *arguments, env=given,
        )  # fmt: skip

    def run(self, *arguments: str, inputs: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments, inputs=inputs), capture_output=True, text=True, timeout=120)

    def report(self) -> dict[str, Any]:
        path = self.workspace / "distributed_test_results/report.json"
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return loaded


@pytest.fixture
def runner(engine: Engine, image: str, tmp_path: Path) -> Runner:
    return Runner(engine, image, tmp_path / "runner")


# ---- browser


@dataclass
class Browser:
    """Headless Chromium over the W3C WebDriver protocol, which needs nothing but HTTP and JSON."""

    address: str
    session: str = ""

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()[:2000]}") from error

    def open(self, url: str) -> None:
        self.call("POST", f"/session/{self.session}/url", {"url": url})

    def script(self, source: str, *arguments: Any) -> Any:
        body = {"script": source, "args": list(arguments)}
        return self.call("POST", f"/session/{self.session}/execute/sync", body)

    def devtools(self, command: str, **parameters: Any) -> Any:
        body = {"cmd": command, "params": parameters}
        return self.call("POST", f"/session/{self.session}/goog/cdp/execute", body)

    def type(self, selector: str, text: str) -> None:
        element = self.call("POST", f"/session/{self.session}/element", {"using": "css selector", "value": selector})
        (reference,) = element.values()
        self.call("POST", f"/session/{self.session}/element/{reference}/value", {"text": text})

    def click(self, selector: str) -> None:
        element = self.call("POST", f"/session/{self.session}/element", {"using": "css selector", "value": selector})
        (reference,) = element.values()
        self.call("POST", f"/session/{self.session}/element/{reference}/click")

    def console(self) -> list[str]:
        """What the page complained about since the last call: script errors, refused requests, broken policy."""
        entries = self.call("POST", f"/session/{self.session}/se/log", {"type": "browser"})
        return [f"{entry['level']}: {entry['message']}" for entry in entries]

    def wait(self, source: str, *arguments: Any, seconds: float = 10) -> Any:
        end = time.monotonic() + seconds
        while not (value := self.script(source, *arguments)):
            assert time.monotonic() < end, f"never became true: {source}"
            time.sleep(0.05)
        return value


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    need("chromium", "chromedriver", packages="chromium chromium-driver fonts-liberation")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}", "--silent"], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    browser = Browser(f"http://127.0.0.1:{port}")
    try:
        wait_until_ready(browser)
        arguments = ["--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                     "--disable-component-update", "--disable-sync", "--window-size=1280,900"]  # fmt: skip
        arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
        wanted = {
            "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        browser.session = browser.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        yield browser
        browser.call("DELETE", f"/session/{browser.session}")
    finally:
        driver.terminate()
        driver.wait(timeout=20)


def wait_until_ready(browser: Browser) -> None:
    for _ in range(200):
        try:
            if browser.call("GET", "/status")["ready"]:
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail("chromedriver did not start", pytrace=False)


def run_cli(*arguments: str, cwd: Path, env: Sequence[tuple[str, str]] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command line of this checkout on this machine."""
    import sys

    return subprocess.run(
        [sys.executable, "-m", "ci_bridge", *arguments],
        cwd=cwd, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **dict(env)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
