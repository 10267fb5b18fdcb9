"""What a run survives: kill -9, a full disk, too little memory, a clock set back, and the like.

``python benchmarks/faults.py`` breaks runs of a small analysis in every way below, each followed
by plain reruns, and prints what docs/reliability.md reports. After each fault every artifact must
be absent or whole, and the rerun must end with the bytes of an undisturbed run. As root, full and
read-only disks are real ones (small tmpfs).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.server
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("Snakefile", "profiles", "src", "workflow")
SNAKEMAKE = (sys.executable, "-m", "snakemake")
PATIENCE = 120  # seconds, for runs of up to twenty jobs beside others
HANGS = "hangs, and is killed\n"
DECADE = 10 * 365 * 86400


def checkout(folder: Path) -> Path:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir()
            shutil.copy(source, folder / name)
    return folder


def tiny(folder: Path, source: dict[str, str] | None = None) -> Path:
    """An analysis of one data set and one model: 12 clusters of 6 rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.csv").write_text(rows(seed=5), "utf-8")
    config = {
        "datasets": {"small": {"source": source or {"file": "small.csv"}, "cluster": "g"}},
        "models": {"line": {"dataset": "small", "formula": "y ~ x + (1 | g)"}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    return folder


def rows(seed: int) -> str:
    draw = random.Random(seed)
    lines = ["g,x,y"]
    for cluster in range(12):
        effect = draw.gauss(0, 1)
        for _ in range(6):
            x = draw.gauss(0, 1)
            lines.append(f"{cluster},{x:.6f},{1 + x + effect + draw.gauss(0, 1):.6f}")
    return "\n".join(lines) + "\n"


def start(
    folder: Path,
    *options: str,
    limit: Callable[[], None] | None = None,
    code: Path | None = None,
) -> subprocess.Popen[str]:
    """Snakemake in a process group of its own, with the workflow and package of ``code``."""
    code = code or ROOT
    command = [*SNAKEMAKE, "--snakefile", str(code / "Snakefile")]

    def begin() -> None:
        # What a shell runs in the background ignores interrupts, and so would all that it starts.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if limit:
            limit()

    return subprocess.Popen(
        [*command, "--cores", "2", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(code / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=begin,
    )


def run(
    folder: Path,
    *options: str,
    limit: Callable[[], None] | None = None,
    code: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    process = start(folder, *options, limit=limit, code=code)
    try:
        said, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        said = HANGS + kill(process)
    return subprocess.CompletedProcess(process.args, process.returncode, said, "")


def rerun(folder: Path) -> subprocess.CompletedProcess[str]:
    """A plain rerun; if its message says ``--unlock``, that and another, as a user would."""
    ended = run(folder)
    if ended.returncode and "--unlock" in ended.stdout:
        run(folder, "--unlock")
        ended = run(folder)
    return ended


def kill(process: subprocess.Popen[str]) -> str:
    """kill -9 of the whole process group; what it had said."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


def artifacts(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of the results that a user sees."""
    results = folder / "results"
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(results.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def differing(folder: Path, *wholes: dict[str, str]) -> list[str]:
    """Artifacts in ``folder`` that are in none of the undisturbed runs ``wholes``."""
    return [
        path
        for path, digest in artifacts(folder).items()
        if digest not in {whole.get(path) for whole in wholes}
    ]


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in (folder / "results").rglob(".*") if path.is_file()]


def kills(base: Path, wanted: int, seed: int, clean: dict[str, str], seconds: float) -> list[str]:
    """``wanted`` kills at random moments, one to three before each run that may finish."""
    draw, faults, done = random.Random(seed), [], 0
    while done < wanted:
        folder = tiny(base / f"kill{done}")
        for _ in range(min(draw.randint(1, 3), wanted - done)):
            process = start(folder)
            moment = draw.uniform(0, seconds)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moment)
            kill(process)
            done += 1
            if partial := differing(folder, clean):
                faults.append(f"kill {done} after {moment:.1f} s: partial {partial}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                unlocked = run(folder, "--unlock")
                if unlocked.returncode:
                    faults.append(f"kill {done}: unlock {unlocked.stdout[-300:]}")
        faults += finishes(folder, clean, f"kill {done}")
        print(f"  {done} kills, {len(faults)} complaints", flush=True)
        shutil.rmtree(folder)
    return faults


def finishes(folder: Path, clean: dict[str, str], name: str) -> list[str]:
    """Complaints unless a plain rerun reaches the bytes ``clean``, with nothing beside them."""
    ended, complaints = rerun(folder), []
    if ended.returncode:
        complaints.append(f"{name}: the rerun fails: {ended.stdout[-500:]}")
    if artifacts(folder) != clean:
        complaints.append(f"{name}: other bytes: {differing(folder, clean)}")
    if left := leftovers(folder):
        complaints.append(f"{name}: left behind: {left}")
    return complaints


def says(ended: subprocess.CompletedProcess[str], *words: str) -> list[str]:
    """Complaints unless a failed run says one of ``words`` and shows no traceback."""
    complaints = []
    if not ended.returncode:
        complaints.append("the faulty run succeeds")
    if not any(word in ended.stdout for word in words):
        complaints.append(f"none of {words} is said: {ended.stdout[-800:]}")
    if "Traceback" in ended.stdout:
        complaints.append(f"a traceback: {ended.stdout[-1500:]}")
    return complaints


@contextlib.contextmanager
def disk(place: Path, options: str) -> Iterator[None]:
    """A tmpfs at ``place``, for root."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


def can_mount() -> bool:
    """Whether this user may mount a tmpfs (root often, inside a container not always)."""
    if os.geteuid() or not shutil.which("mount"):
        return False
    with tempfile.TemporaryDirectory() as place:
        tried = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True
        )
        if tried.returncode == 0:
            subprocess.run(["umount", place], check=True)
        return tried.returncode == 0


def disk_full(base: Path, clean: dict[str, str]) -> list[str]:
    folder = tiny(base / "full")
    if not can_mount():
        size = 12_000
        ended = run(folder, limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
        complaints = says(ended, "File too large") + differing(folder, clean)
        return complaints + finishes(folder, clean, "file size")
    with disk(folder / "results", "size=100k"):
        ended = run(folder)
        complaints = says(ended, "No space left") + differing(folder, clean)
        remount(folder / "results", "size=100m")
        return complaints + finishes(folder, clean, "disk full")


def read_only(base: Path, clean: dict[str, str]) -> list[str]:
    folder = tiny(base / "readonly")
    if not can_mount():
        (folder / "results").mkdir()
        (folder / "results").chmod(0o555)
        ended = run(folder)
        (folder / "results").chmod(0o755)
        return says(ended, "ermission denied") + finishes(folder, clean, "read-only")
    with disk(folder / "results", "size=100m"):
        remount(folder / "results", "ro")
        ended = run(folder)
        remount(folder / "results", "rw")
        complaints = says(ended, "Read-only file system")
        return complaints + finishes(folder, clean, "read-only")


def little_memory(base: Path, clean: dict[str, str]) -> list[str]:
    """Address space that is too little at different moments: at the start, for a library, a job."""
    complaints, ends = [], []
    for megabytes in range(350, 900, 50):
        folder, size = tiny(base / f"memory{megabytes}"), megabytes * 2**20
        ended = run(folder, limit=lambda s=size: resource.setrlimit(resource.RLIMIT_AS, (s, s)))
        ends.append(
            "runs"
            if not ended.returncode
            else "hangs"
            if ended.stdout.startswith(HANGS)
            else "told"
            if "not enough memory" in ended.stdout
            else "stops"
        )
        complaints += [f"{megabytes} MB: partial {path}" for path in differing(folder, clean)]
        complaints += finishes(folder, clean, f"{megabytes} MB")
    print(f"  from 350 MB in steps of 50: {ends}")
    return complaints


def two_at_once(base: Path, clean: dict[str, str]) -> list[str]:
    folder = tiny(base / "two")
    first = start(folder)
    locks = folder / ".snakemake" / "locks"
    while first.poll() is None and not (locks.is_dir() and any(locks.iterdir())):
        time.sleep(0.05)
    complaints = says(run(folder), "cannot be locked")
    first.communicate()
    if first.returncode or artifacts(folder) != clean:
        complaints.append("the first of two runs suffered from the second")
    return complaints


def clock_set_back(base: Path) -> list[str]:
    """Artifacts ten years older than now, then new data, then a kill between two jobs."""
    folder, changed = tiny(base / "clock"), tiny(base / "undisturbed")
    (changed / "small.csv").write_text(rows(seed=6), "utf-8")
    run(folder), run(changed)
    old, new = artifacts(folder), artifacts(changed)
    future = time.time() + DECADE
    for path in folder.rglob("*"):
        os.utime(path, (future, future))
    (folder / "small.csv").write_text(rows(seed=6), "utf-8")
    past = time.time() - DECADE
    os.utime(folder / "small.csv", (past, past))
    process, parquet = start(folder), folder / "results/datasets/small/data.parquet"
    before = parquet.stat().st_ino
    record = folder / "results/records/prepare/small.json"
    while process.poll() is None:
        if parquet.exists() and parquet.stat().st_ino != before and record.exists():
            time.sleep(0.5)
            break
        time.sleep(0.02)
    kill(process)
    complaints = [f"clock: partial {path}" for path in differing(folder, old, new)]
    return complaints + finishes(folder, new, "clock")


def broken_download(base: Path) -> list[str]:
    """A server that breaks off the first time."""
    body, asked = rows(seed=5).encode(), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if len(asked) > 1 else body[: len(body) // 2])

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = {"url": f"http://127.0.0.1:{server.server_address[1]}/small.csv"}
    folder, undisturbed = tiny(base / "broken", source), tiny(base / "fetched", source)
    complaints = says(run(folder), "broke off")
    run(undisturbed)
    complaints += finishes(folder, artifacts(undisturbed), "download")
    server.shutdown()
    return complaints


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", nargs="*", default=[], help="words of the cases; all by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        global ROOT
        ROOT = checkout(base / "checkout")  # a change of the code meanwhile is no fault
        began = time.monotonic()
        undisturbed = tiny(base / "clean")
        assert run(undisturbed).returncode == 0
        seconds = time.monotonic() - began
        clean = artifacts(undisturbed)
        print(f"an undisturbed run: {len(clean)} artifacts in {seconds:.1f} s")
        cases: dict[str, Callable[[], list[str]]] = {
            "disk full": lambda: disk_full(base, clean),
            "read-only results": lambda: read_only(base, clean),
            "too little memory": lambda: little_memory(base, clean),
            "two runs at once": lambda: two_at_once(base, clean),
            "clock set back": lambda: clock_set_back(base),
            "broken download": lambda: broken_download(base),
            f"{given.kills} kills": lambda: kills(base, given.kills, given.seed, clean, seconds),
        }
        failed = 0
        for name, case in cases.items():
            if given.cases and not any(word in name for word in given.cases):
                continue
            complaints = case()
            failed += len(complaints)
            print(f"{name}: {complaints or 'as it should'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
