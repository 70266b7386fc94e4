"""Size and start-up of the image: `python benchmarks/image.py [IMAGE]`; without one it is built from the Dockerfile.

Needs docker or podman. Prints a table in Markdown; every figure is the median of --runs runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", nargs="?", default="")
    parser.add_argument("--engine", default=shutil.which("docker") or shutil.which("podman") or "docker")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    image = given.image or build(given.engine)
    (facts,) = json.loads(output(given.engine, "image", "inspect", image))
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        write_results(workspace / "junit.xml")
        mount = ["--volume", f"{workspace}:/work", "--workdir", "/work"]
        commands = {
            "`/bin/true`: what the engine itself takes": ["--entrypoint", "/bin/true", image],
            "`ci-bridge --version`": [image, "--version"],
            "`ci-bridge detect`": [image, "detect"],
            f"`ci-bridge report` of {CASES:,} cases": [*mount, image, "report", "junit.xml"],
        }
        print(f"| the image | figure |\n|---|---|\n| size on disk | {facts['Size'] / 1e6:.0f} MB |")
        print(f"| size as pulled (gzip) | {compressed(given.engine, image) / 1e6:.0f} MB |")
        for title, command in commands.items():
            print(f"| {title} | {seconds(given.engine, command, given.runs):.2f} s |")


def build(engine: str) -> str:
    output(engine, "build", "--tag", "ci-bridge:benchmark", str(ROOT))
    return "ci-bridge:benchmark"


def output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def compressed(engine: str, image: str) -> int:
    """Bytes of the layers, packed as registries keep them."""
    saved = subprocess.Popen([engine, "save", image], stdout=subprocess.PIPE)
    packed = subprocess.Popen(["gzip", "-6"], stdin=saved.stdout, stdout=subprocess.PIPE)
    assert saved.stdout and packed.stdout
    saved.stdout.close()
    size = sum(len(chunk) for chunk in iter(lambda: packed.stdout.read(1 << 20), b""))  # type: ignore[union-attr]
    assert saved.wait() == packed.wait() == 0
    return size


def seconds(engine: str, command: list[str], runs: int) -> float:
    def once() -> float:
        start = time.perf_counter()
        subprocess.run([engine, "run", "--rm", *command], check=True, capture_output=True)
        return time.perf_counter() - start

    once()  # the first one reads from the disk
    return statistics.median(once() for _ in range(runs))


def write_results(path: Path) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.write('<testsuite name="shop">')
        for number in range(CASES):
            stream.write(f'<testcase classname="shop.CartTest{number // 100}" name="test_{number}" time="0.01"/>')
        stream.write("</testsuite>")


if __name__ == "__main__":
    main()
