"""Who vouches for a manifest: a detached signature, made and read by OpenSSH's ssh-keygen."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from mixedflow.errors import ConfigError, quote
from mixedflow.jobs.integrity import SIGNATURE, Finding

_NAMESPACE, _SIGNER = "mixedflow", "signer"


def check(key: Path, manifest: Path, shown: str) -> tuple[str, Finding | None]:
    """Hold the signature beside a manifest against a public key.

    Returns
    -------
    str
        Which key has signed, empty if none has.
    Finding or None
        What is wrong with the signature.

    Raises
    ------
    ConfigError
        No such key, a file that is none, or no ssh-keygen on this machine.
    """
    if not shutil.which("ssh-keygen"):
        raise ConfigError("--key", "there is no ssh-keygen here", "it comes with OpenSSH")
    try:
        public = key.read_text("utf-8").strip()
    except (OSError, ValueError):
        raise ConfigError("--key", f"cannot read the public key {quote(str(key))}") from None
    listed = subprocess.run(["ssh-keygen", "-l", "-f", key], capture_output=True, text=True)
    if listed.returncode or "PRIVATE" in public or "\n" in public:
        what = f"{quote(str(key))} is no public key"
        raise ConfigError("--key", what, "it is one line, in a file like id_ed25519.pub")
    signature = manifest.with_name(SIGNATURE)
    place = f"{shown}.sig"
    if not signature.is_file():
        sign = f"ssh-keygen -Y sign -n {_NAMESPACE} -f KEY {shown}"
        return "", Finding(place, f"is missing; who vouches for the manifest runs {sign}")
    with tempfile.TemporaryDirectory() as scratch:
        allowed = Path(scratch, "allowed")
        allowed.write_text(f'{_SIGNER} namespaces="{_NAMESPACE}" {public}\n', "utf-8")
        command = ["ssh-keygen", "-Y", "verify", "-I", _SIGNER, "-n", _NAMESPACE]
        command += ["-f", str(allowed), "-s", str(signature)]
        told = manifest.read_bytes()
        ran = subprocess.run(command, input=told, capture_output=True)
    if ran.returncode:
        return "", Finding(place, f"is no signature of the key {key} for this manifest")
    return " ".join(listed.stdout.split()), None
