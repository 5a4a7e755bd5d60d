"""A real object store that speaks S3: OpenStack Swift with its s3api, on one folder as its disk."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.project import ROOT, free_port, wait_for
from tests.services import started

BINARIES = ROOT / ".swift" / "bin"
KEY, SECRET = "mlops:AK1", "not-so-secret"
SETTINGS = """\
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
pipeline = {filters} {kind}-server

[app:{kind}-server]
use = egg:swift#{kind}
account_autocreate = true
"""
FILTERS = {
    "healthcheck": "",
    "bulk": "",
    "s3api": "s3_acl = false\nlocation = us-east-1",
    "tempauth": f"user_mlops_AK1 = {SECRET} .admin",
    "slo": "",
}
# a ring says on which disk what is: here on one
RINGS = """
import sys
from swift.common.ring import RingBuilder

for kind, port in zip(("account", "container", "object"), map(int, sys.argv[1:])):
    disk = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1", "weight": 1}
    builder = RingBuilder(2, 1, 0)
    builder.add_dev({**disk, "replication_ip": "127.0.0.1", "replication_port": port})
    builder.rebalance()
    builder.get_ring().save(f"{kind}.ring.gz")
"""


class ObjectStore(NamedTuple):
    """An object store, the variables of its clients, and what lets it be away for seconds."""

    endpoint: str
    environment: dict[str, str]
    pause: Callable[[float], None]


@contextmanager
def swift(*buckets: str) -> Iterator[ObjectStore]:
    """Swift with these buckets."""
    if not BINARIES.is_dir():
        pytest.skip("OpenStack Swift is not installed: `make .swift/complete`")
    folder = Path(tempfile.mkdtemp(prefix="swift-"))
    ports = {kind: free_port() for kind in ("account", "container", "object", "proxy")}
    write_settings(folder, ports)
    endpoint = f"http://127.0.0.1:{ports['proxy']}"

    def start(kind: str) -> "subprocess.Popen[bytes]":
        command = (str(BINARIES / f"swift-{kind}-server"), f"{folder}/{kind}.conf")
        return started(folder, *command, output=f"{folder}/log-{kind}", SWIFT_TEST_IN_PROCESS="")

    processes = {kind: start(kind) for kind in ports}

    def pause(seconds: float) -> None:
        processes["proxy"].kill()
        time.sleep(seconds)
        processes["proxy"] = start("proxy")
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
        for process in processes.values():
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def client(environment: dict[str, str]) -> Any:
    """Boto's client of the store."""
    import boto3

    session = boto3.Session(KEY, SECRET, region_name=environment["AWS_DEFAULT_REGION"])
    return session.client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"])


def write_settings(folder: Path, ports: dict[str, int]) -> None:
    (folder / "disks/d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n"
        "[storage-policy:0]\nname = one\ndefault = yes\n",
        encoding="utf-8",
    )
    sections = [f"[filter:{name}]\nuse = egg:swift#{name}\n{FILTERS[name]}\n" for name in FILTERS]
    values = {"folder": folder, "user": pwd.getpwuid(os.getuid()).pw_name}
    for kind, port in ports.items():
        filters = " ".join(FILTERS) if kind == "proxy" else ""
        text = SETTINGS.format_map({**values, "kind": kind, "port": port, "filters": filters})
        (folder / f"{kind}.conf").write_text("\n".join([text, *sections]), encoding="utf-8")
    command = [str(BINARIES / "python"), "-c", RINGS, *map(str, ports.values())]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
