"""A real object store that speaks S3: OpenStack Swift with its s3api, on one folder as its disk."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.project import ROOT, default_signals, free_port, wait_for

BINARIES = ROOT / ".swift" / "bin"
KEY, SECRET = "mlops:AK1", "not-so-secret"
KINDS = ("account", "container", "object")
SERVER = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
devices = {folder}/disks
swift_dir = {folder}
mount_check = false
workers = 0
disable_fallocate = true
user = {user}

[pipeline:main]
pipeline = {kind}-server

[app:{kind}-server]
use = egg:swift#{kind}

[{kind}-replicator]
[{kind}-updater]
[{kind}-auditor]
"""
MIDDLEWARE = (
    *("catch_errors", "gatekeeper", "healthcheck", "listing_formats", "bulk", "s3api", "tempauth"),
    *("copy", "slo", "dlo", "versioned_writes", "symlink"),
)
PROXY = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
workers = 0
user = {user}

[pipeline:main]
pipeline = {pipeline} proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true

{filters}
"""
OPTIONS = {
    "s3api": "s3_acl = false\nlocation = us-east-1",
    "tempauth": f"user_mlops_AK1 = {SECRET} .admin",
    "versioned_writes": "allow_versioned_writes = true\nallow_object_versioning = true",
}


class ObjectStore(NamedTuple):
    """An object store.

    Attributes:
        endpoint: its address.
        environment: the variables by which a client of S3 uses it.
        pause: lets it be away for so many seconds.
    """

    endpoint: str
    environment: dict[str, str]
    pause: Callable[[float], None]


@contextmanager
def swift(*buckets: str) -> Iterator[ObjectStore]:
    """Swift with these buckets."""
    if not BINARIES.is_dir():
        pytest.skip("OpenStack Swift is not installed: `make .swift/complete`")
    folder = Path(tempfile.mkdtemp(prefix="swift-"))
    ports = {kind: free_port() for kind in (*KINDS, "proxy")}
    write_settings(folder, ports)
    endpoint = f"http://127.0.0.1:{ports['proxy']}"
    processes = [start(folder, kind) for kind in KINDS]
    proxy = [start(folder, "proxy")]

    def pause(seconds: float) -> None:
        end(proxy)
        time.sleep(seconds)
        proxy[:] = [start(folder, "proxy")]
        wait_for(f"{endpoint}/healthcheck")

    environment = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }
    try:
        wait_for(f"{endpoint}/healthcheck")
        for bucket in buckets:
            client(environment).create_bucket(Bucket=bucket)
        yield ObjectStore(endpoint, environment, pause)
    finally:
        end([*proxy, *processes])
        shutil.rmtree(folder)


def client(environment: dict[str, str]) -> Any:
    """Boto's client of the store."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def write_settings(folder: Path, ports: dict[str, int]) -> None:
    """Write Swift's settings and its rings, which say on which disk what is: here on one."""
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    for name in ("disks/d1", "log"):
        (folder / name).mkdir(parents=True)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n"
        "[storage-policy:0]\nname = one\ndefault = yes\n",
        encoding="utf-8",
    )
    for kind in KINDS:
        values = {"port": ports[kind], "folder": folder, "kind": kind, "user": user}
        (folder / f"{kind}.conf").write_text(SERVER.format_map(values), encoding="utf-8")
        builder = [str(BINARIES / "swift-ring-builder"), f"{kind}.builder"]
        place = f"r1z1-127.0.0.1:{ports[kind]}/d1"
        for step in (["create", "2", "1", "0"], ["add", place, "1"], ["rebalance"]):
            subprocess.run([*builder, *step], cwd=folder, check=False, capture_output=True)
    filters = "\n".join(
        f"[filter:{name}]\nuse = egg:swift#{name}\n{OPTIONS.get(name, '')}\n" for name in MIDDLEWARE
    )
    values = {"port": ports["proxy"], "folder": folder, "user": user, "filters": filters}
    text = PROXY.format_map({**values, "pipeline": " ".join(MIDDLEWARE)})
    (folder / "proxy.conf").write_text(text, encoding="utf-8")


def start(folder: Path, kind: str) -> "subprocess.Popen[bytes]":
    """Start one of Swift's servers; what it prints is in a file beside its settings."""
    with (folder / "log" / kind).open("ab") as log:
        return subprocess.Popen(
            [str(BINARIES / f"swift-{kind}-server"), str(folder / f"{kind}.conf")],
            cwd=folder,
            env={**os.environ, "SWIFT_TEST_IN_PROCESS": ""},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=default_signals,
        )


def end(processes: "list[subprocess.Popen[bytes]]") -> None:
    """End them and what they started."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
