#!/usr/bin/env python3
"""Size, zipped size, start time and memory of each bootstrap.

usage: tests/bootstraps.py [--target target/release] [--runs 30]
       tests/bootstraps.py --check [--target target/release]

Build them first: cargo build --release -p receive -p transform -p upsert -p reconcile -p rotate
The start is measured as Lambda sees it: from the start of the process to its first request for an event, against a Runtime API
of this script's own. The numbers are medians of the runs; the first run is not counted.

--check only compares the sizes with BUDGETS, and fails if a bootstrap is larger. Sizes are the same on every machine, start times
are not. It is not part of .ci/run, because that builds no release: run it before a release, and after a new dependency.
"""

import argparse
import http.server
import io
import os
import statistics
import subprocess
import tempfile
import threading
import time
import zipfile
from pathlib import Path

# The most megabytes of each bootstrap, and of its zip file: a cold start loads these bytes. Measured in November 2026: reconcile has
# 8.38 and 3.76. Its budget is a tenth more. The others have the same ceiling until they are measured.
BUDGETS = {function: (9.2, 4.1) for function in ["receive", "transform", "upsert", "reconcile", "rotate"]}
FUNCTIONS = list(BUDGETS)
ROOT = Path(__file__).resolve().parent.parent


class Api(http.server.BaseHTTPRequestHandler):
    """Notes when the function polls for its first event, and never gives it one."""

    protocol_version = "HTTP/1.1"
    polled = threading.Event()

    def do_GET(self):
        Api.polled.set()
        time.sleep(60)

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        print(self.path, self.rfile.read(length).decode()[:300])
        self.send_response(202)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def environment(port, pack):
    names = ["GOLDEN", "LINKS", "JOURNAL", "AUDIT", "CONTROL", "KEYS"]
    queues = ["INGEST_URGENT", "INGEST_BULK", "FETCH", "UPSERT_HUBSPOT", "UPSERT_SALESFORCE"]
    queues += [f"{queue}_DLQ" for queue in queues]
    url = "http://127.0.0.1:9/000000000000/"
    return {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_STREAM_NAME": "l",
        "AWS_LAMBDA_LOG_GROUP_NAME": "g",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
        "HUB_CONFIG": str(pack),
        "HUB_ENVIRONMENT": "measure",
        "HUB_SECRET_PREFIX": "measure/",
        "HUB_BUCKET": "measure",
        **{f"HUB_TABLE_{name}": name.lower() for name in names},
        **{f"HUB_QUEUE_{queue}": url + queue.lower() for queue in queues},
    }


def start(binary, env):
    """Milliseconds to the first request for an event, and the resident memory then, in MB."""
    Api.polled.clear()
    began = time.perf_counter()
    process = subprocess.Popen([binary], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if not Api.polled.wait(10):
        process.kill()
        raise SystemExit(f"{binary} does not poll for an event: {process.stderr.read().decode()[:500]}")
    took = (time.perf_counter() - began) * 1000
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    process.kill()
    process.wait()
    return took, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def sizes(binary):
    """Megabytes of a bootstrap, and of its zip file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(binary, "bootstrap")
    return binary.stat().st_size / 1e6, len(packed.getvalue()) / 1e6


def check(target):
    """Compares the sizes with their budgets."""
    too_large = []
    print(f"{'function':<12}{'MB':>7}{'budget':>8}{'zipped MB':>11}{'budget':>8}")
    for function, budgets in BUDGETS.items():
        binary = target / function
        if not binary.is_file():
            raise SystemExit(f"{binary} does not exist: build it with cargo build --release -p {function}")
        found = sizes(binary)
        print(f"{function:<12}{found[0]:>7.2f}{budgets[0]:>8.2f}{found[1]:>11.2f}{budgets[1]:>8.2f}")
        if any(size > budget for size, budget in zip(found, budgets)):
            too_large.append(function)
    if too_large:
        raise SystemExit(f"larger than the budget: {', '.join(too_large)}. Find the dependency that did it, or raise BUDGETS.")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--target", type=Path, default=ROOT / "target/release")
    arguments.add_argument("--runs", type=int, default=30)
    arguments.add_argument("--check", action="store_true")
    options = arguments.parse_args()
    if options.check:
        return check(options.target)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "hub.pack"
        hub = ["cargo", "run", "--quiet", "--package", "hub", "--", "check", "--pack", "--out", str(pack)]
        subprocess.run(hub, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        print(f"configuration {pack.stat().st_size / 1000:.0f} kB")
        print(f"{'function':<12}{'MB':>7}{'zipped MB':>11}{'start ms':>10}{'slowest':>9}{'RSS MB':>8}")
        for function in FUNCTIONS:
            binary = options.target / function
            size, zipped = sizes(binary)
            runs = [start(binary, environment(server.server_port, pack)) for _ in range(options.runs + 1)][1:]
            times = [took for took, _ in runs]
            memory = statistics.median(rss for _, rss in runs)
            print(f"{function:<12}{size:>7.2f}{zipped:>11.2f}{statistics.median(times):>10.1f}{max(times):>9.1f}{memory:>8.1f}")


main()
