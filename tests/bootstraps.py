#!/usr/bin/env python3
"""Size, zipped size, start time and memory of each bootstrap.

usage: tests/bootstraps.py [--target target/release] [--runs 30]

Build them first: cargo build --release -p receive -p transform -p upsert -p reconcile -p rotate
The start is measured as Lambda sees it: from the start of the process to its first request for an event, against a Runtime API
of this script's own. Medians of the runs; the first is not counted.
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

FUNCTIONS = ["receive", "transform", "upsert", "reconcile", "rotate"]
ROOT = Path(__file__).resolve().parent.parent


class Api(http.server.BaseHTTPRequestHandler):
    """Notes when the function asks for its first event, and never gives it one."""

    protocol_version = "HTTP/1.1"
    asked = threading.Event()

    def do_GET(self):
        Api.asked.set()
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
    Api.asked.clear()
    began = time.perf_counter()
    process = subprocess.Popen([binary], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if not Api.asked.wait(10):
        process.kill()
        raise SystemExit(f"{binary} asks for no event: {process.stderr.read().decode()[:500]}")
    took = (time.perf_counter() - began) * 1000
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    process.kill()
    process.wait()
    return took, pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--target", type=Path, default=ROOT / "target/release")
    arguments.add_argument("--runs", type=int, default=30)
    options = arguments.parse_args()
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
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
                archive.write(binary, "bootstrap")
            runs = [start(binary, environment(server.server_port, pack)) for _ in range(options.runs + 1)][1:]
            times = [took for took, _ in runs]
            memory = statistics.median(rss for _, rss in runs)
            size = binary.stat().st_size / 1e6
            zipped = len(packed.getvalue()) / 1e6
            print(f"{function:<12}{size:>7.2f}{zipped:>11.2f}{statistics.median(times):>10.1f}{max(times):>9.1f}{memory:>8.1f}")


main()
