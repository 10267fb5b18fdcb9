"""A Slurm of one node on this machine's loopback, for tests and measurements.

    with Cluster(folder) as cluster:
        subprocess.run([...], env=cluster.environment)

Everything it writes is in ``folder``; it touches no Slurm that the machine has.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
WHERE = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"])

# No accounting, as where only a controller runs; memory is enforced by polling, without cgroups.
CONFIG = """\
ClusterName=loopback
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
JobRequeue=0
MpiDefault=none
KillWait=1
MinJobAge=300
ReturnToService=2
SlurmdTimeout=5
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cores} RealMemory=8000
PartitionName=main Nodes=localhost Default=YES MaxTime=60
"""


class StartError(Exception):
    """There is no Slurm here, or it does not start; says why."""


def missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=WHERE) is None]


class Cluster:
    """The three daemons, with a node that says it has ``cores``.

    ``environment`` is what a client needs.
    """

    def __init__(self, folder: Path, cores: int = 2) -> None:
        self.folder, self.cores = folder, cores
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": os.pathsep.join([str(folder / "bin"), WHERE]),
        }
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Cluster:
        if absent := missing():
            raise StartError(f"not installed: {', '.join(absent)}")
        self._configure()
        try:
            key = f"--key-file={self.folder / 'munge.key'}"
            own = [f"--{what}-file={self.folder / f'munge.{what}'}" for what in ("pid", "seed")]
            own.append(f"--log-file={self.folder / 'munged.log'}")
            here = f"--socket={self.folder / 'munge.socket'}"
            self._start("munged", "--foreground", "--force", key, here, *own)
            self._until(lambda: stat.S_ISSOCK((self.folder / "munge.socket").stat().st_mode))
            self._start("slurmctld", "-D", "-c")
            self.start_node()
        except Exception:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        if "slurmctld" in self._daemons:
            self.run("scancel", "--user", self._user, "--signal=KILL", check=False)
        self.kill_node()
        for name in reversed(list(self._daemons)):
            self._stop(name)

    def run(self, *command: str, check: bool = True) -> str:
        """What a client command prints."""
        done = subprocess.run(
            command, env=self.environment, check=check, capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip()

    def start_node(self) -> None:
        self._start("slurmd", "-D", "-N", "localhost")
        self._until(self._is_up)

    def _is_up(self) -> bool:
        state = self.run("sinfo", "-h", "-o", "%T")
        if state == "down":
            self.run("scontrol", "update", "nodename=localhost", "state=resume", check=False)
        return state in ("idle", "mixed", "allocated")

    def kill_node(self) -> None:
        """As if its power were cut: slurmd, and all that it had started.

        The controller would notice by itself after a while; it is told, so that nobody waits.
        """
        if "slurmd" in self._daemons:
            self._stop("slurmd", subprocess.Popen.kill)
        steps, jobs = [], []
        ours = f"SLURM_CONF={self.environment['SLURM_CONF']}\0".encode()
        for process in psutil.process_iter(["name"]):
            with contextlib.suppress(psutil.Error, OSError):  # it has ended by itself
                # psutil stops at the zeros that a step leaves where it writes its title.
                environment = Path(f"/proc/{process.pid}/environ").read_bytes()
                if process.info["name"] == "slurmstepd" and ours in environment:
                    steps.append(process)
                    jobs += process.children(recursive=True)
        for process in (*steps, *jobs):  # who would report is first
            with contextlib.suppress(psutil.Error):
                process.kill()
        if "slurmctld" in self._daemons:
            down = ("scontrol", "update", "nodename=localhost", "state=down", "reason=power")
            self.run(*down, check=False)

    @property
    def _user(self) -> str:
        return pwd.getpwuid(os.getuid()).pw_name

    def _configure(self) -> None:
        for name in ("state", "spool", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)  # munge trusts no folder that others may write to
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        sockets = [socket.socket() for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
        for one in sockets:
            one.close()
        text = CONFIG.format(folder=self.folder, ports=ports, user=self._user, cores=self.cores)
        (self.folder / "slurm.conf").write_text(text, "utf-8")
        # Snakemake's job step drops SLURM_CONF, as if every Slurm had its files in /etc.
        srun = self.folder / "bin" / "srun"
        conf, program = self.environment["SLURM_CONF"], shutil.which("srun", path=WHERE)
        srun.write_text(f'#!/bin/sh\nSLURM_CONF="{conf}" exec {program} "$@"\n', "utf-8")
        srun.chmod(0o755)

    def _start(self, name: str, *options: str) -> None:
        with open(self.folder / f"{name}.out", "ab") as out:
            self._daemons[name] = subprocess.Popen(
                [shutil.which(name, path=WHERE) or name, *options],
                cwd=self.folder,
                env=self.environment,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _stop(self, name: str, how: Callable[[Any], None] = subprocess.Popen.terminate) -> None:
        daemon = self._daemons.pop(name)
        how(daemon)
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _until(self, ready: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait for a daemon; one that has ended or takes too long is the error."""
        end = time.monotonic() + seconds
        while True:
            try:
                if ready():
                    return
            except (OSError, subprocess.SubprocessError):
                pass
            ended = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if ended or time.monotonic() > end:
                name = ended[0] if ended else list(self._daemons)[-1]
                said = (self.folder / f"{name}.out").read_text("utf-8", "replace").splitlines()
                raise StartError(f"{name}: {said[-1] if said else 'does not answer'}")
            time.sleep(0.1)
