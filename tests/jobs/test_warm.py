"""Jobs in forks of one process: they are as the script itself would have been, and die with it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = """
import os, sys
from mixedflow.jobs.warm import hand_over
from pathlib import Path

hand_over()

here = "fork" if os.getppid() == int(os.environ["PROCESS"]) else "own"
print(here, os.getcwd(), os.environ.get("SAID"), sys.argv[1:], flush=True)
print("told", file=sys.stderr)
if sys.argv[1] == "waits":
    import time
    Path("pid").write_text(str(os.getpid()))
    try:
        time.sleep(60)
    finally:
        Path("cleared").touch()
if sys.argv[1] == "fails":
    raise ValueError("the job's own fault")
sys.exit(int(sys.argv[1]))
"""

_STARTER = """
import os, sys
from pathlib import Path
from mixedflow.jobs import warm

sys.executable = sys.argv[2]
warm.start(Path(sys.argv[1]))
print(os.environ[warm.ADDRESS], warm._held.pid, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def _started(scripts, program=sys.executable):
    """A process that stands for a run, with its address, and a script."""
    script = scripts / "job.py"
    script.write_text(_SCRIPT)
    env = {key: value for key, value in os.environ.items() if key != "MIXEDFLOW_WARM"}
    starter = [sys.executable, "-c", _STARTER, str(scripts), str(program)]
    with subprocess.Popen(
        starter, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as held:
        address, process = held.stdout.readline().split()
        yield script, {**env, "MIXEDFLOW_WARM": address, "PROCESS": process}
        held.stdin.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with _started(tmp_path_factory.mktemp("scripts")) as (script, env):
        yield script, env
    folder = Path(env["MIXEDFLOW_WARM"]).parent
    for _ in range(200):
        if not folder.exists():
            break
        time.sleep(0.05)
    assert not folder.exists()


def _job(run, folder, *given, **changed):
    script, env = run
    return subprocess.Popen(
        [sys.executable, script, *given],
        cwd=folder,
        env={**env, **changed},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait(path):
    for _ in range(400):
        if path.exists() and (path.name != "pid" or path.read_text()):
            return path
        time.sleep(0.05)
    raise AssertionError(f"no {path}")


def _gone(pid):
    for _ in range(200):
        try:
            os.kill(pid, 0)
            status = Path(f"/proc/{pid}/stat")
            if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_folder_environment_output_and_exit_code_are_the_scripts(run, tmp_path):
    job = _job(run, tmp_path, "3", SAID="so")
    assert job.communicate() == (f"fork {tmp_path} so ['3']\n", "told\n")
    assert job.returncode == 3


def test_a_fault_has_its_traceback(run, tmp_path):
    job = _job(run, tmp_path, "fails")
    _, told = job.communicate()
    assert job.returncode == 1
    assert told.endswith("ValueError: the job's own fault\n")
    assert f'"{run[0]}"' in told


@pytest.mark.parametrize("address", ["", "/nowhere/jobs"])
def test_without_the_process_scripts_run_by_themselves(run, tmp_path, address):
    job = _job(run, tmp_path, "0", MIXEDFLOW_WARM=address)
    out, _ = job.communicate()
    assert job.returncode == 0
    assert out.startswith("own ")


@pytest.mark.parametrize(
    ("then", "runs"), [(f'exec {sys.executable} "$@"', "fork"), ("exit 1", "own")]
)
def test_a_process_that_still_starts_is_waited_for_and_one_that_ends_is_not(tmp_path, then, runs):
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\nsleep 1\n{then}\n")
    slow.chmod(0o755)
    with _started(tmp_path, slow) as run:
        out, _ = _job(run, tmp_path, "0").communicate(timeout=60)
    assert out.startswith(f"{runs} ")
    shutil.rmtree(Path(run[1]["MIXEDFLOW_WARM"]).parent, ignore_errors=True)


@pytest.mark.parametrize(("number", "cleared"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_signals_reach_the_job_and_are_waited_out(run, tmp_path, number, cleared):
    """As Python does by itself: an interrupt unwinds, SIGTERM ends at once."""
    job = _job(run, tmp_path, "waits")
    pid = int(_wait(tmp_path / "pid").read_text())
    job.send_signal(number)
    job.communicate()
    assert job.returncode not in (0, None)
    assert _gone(pid)
    assert (tmp_path / "cleared").exists() == cleared


def test_a_job_ends_with_its_script(run, tmp_path):
    job = _job(run, tmp_path, "waits")
    pid = int(_wait(tmp_path / "pid").read_text())
    job.kill()
    job.communicate()
    assert _gone(pid)
    assert not (tmp_path / "cleared").exists()


def test_a_killed_job_fails(run, tmp_path):
    job = _job(run, tmp_path, "waits")
    os.kill(int(_wait(tmp_path / "pid").read_text()), signal.SIGKILL)
    job.communicate()
    assert job.returncode not in (0, None)


_IMPORTED = """
import importlib, sys
from pathlib import Path
from mixedflow.jobs import digest, warm

for name in warm._named(Path("workflow/scripts")):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
used = {name for script in Path("workflow/scripts").glob("*.py") for name in digest.modules(script)}
print(len(used), *sorted(used - sys.modules.keys()))
"""


def test_no_fork_has_to_import_what_the_workflows_scripts_do():
    told = subprocess.run(
        [sys.executable, "-c", _IMPORTED], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    count, *missing = told.stdout.split()
    assert int(count) > 150 and missing == []
