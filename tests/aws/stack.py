"""Deploys template.yaml to ministack, an AWS stand-in that this project has no hand in.

It runs the x86-64 binaries of this machine. What ministack cannot do is taken out of the template here, and named.
"""

import io
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile

import boto3
from botocore.config import Config
from samcli.yamlhelper import yaml_parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
REGION = "eu-west-1"
STACK = "hub-test"
PREFIX = "crm-hub/test/"
ARTIFACTS = "artifacts"
FUNCTIONS = ("receive", "transform", "upsert", "reconcile", "rotate")


class Failed(Exception):
    """Something did not work; the text says what and where to look."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Ministack:
    """The process, on loopback only, with its files in a folder that goes away with it."""

    def __init__(self, folder):
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.log = folder / "ministack.log"
        keep = ("PATH", "HOME", "LANG", "RUST_BACKTRACE")
        env = {name: os.environ[name] for name in keep if name in os.environ}
        env |= {
            "BIND_HOST": "127.0.0.1",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "TMPDIR": str(folder),
            "S3_DATA_DIR": str(folder / "s3"),
        }
        program = pathlib.Path(sys.executable).parent / "ministack"
        with open(self.log, "wb") as log:
            # A session of its own, so that stopping it also stops the bootstraps that it started.
            self.process = subprocess.Popen([program], env=env, cwd=folder, stdout=log, stderr=log, start_new_session=True)

    def wait(self, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failed(f"ministack ended with {self.process.returncode}; its last words:\n{self.tail()}")
            try:
                urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=1).read()
                return
            except OSError:
                time.sleep(0.1)
        raise Failed(f"ministack did not answer on {self.endpoint} within {seconds} s:\n{self.tail()}")

    def tail(self, lines=40):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=60),
        )


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100755 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


def fitted(template, pack, dropped):
    """The template as ministack can deploy it; `dropped` gets a line for each thing that it cannot do."""
    resources = template["Resources"]
    for name in [n for n, r in resources.items() if r["Type"] == "AWS::SecretsManager::RotationSchedule"]:
        del resources[name]
        dropped.append(f"{name}: AWS::SecretsManager::RotationSchedule is not supported; rotation is not scheduled")
    for name in [n for n, r in resources.items() if "Metrics" in r.get("Properties", {})]:
        del resources[name]
        dropped.append(f"{name}: alarms on a calculation of several metrics are not supported")
    template["Globals"]["Function"]["Architectures"] = ["x86_64"]
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            binary = resource.pop("Metadata")["BuildProperties"]["Binary"]
            properties["CodeUri"] = f"s3://{ARTIFACTS}/{binary}.zip"
            variables = properties["Environment"]["Variables"]
            if "HUB_CONFIG" in variables:
                variables["HUB_CONFIG"] = str(pack)
                dropped.append(f"{name}: layers are not laid out at /opt for a host process; HUB_CONFIG names a file instead")
        elif resource["Type"] == "AWS::Serverless::LayerVersion":
            properties["ContentUri"] = f"s3://{ARTIFACTS}/layer.zip"
    return template


def repoint(pack, base_urls):
    """A packed configuration with other base URLs of connections."""
    magic, digits, rest = pack.split(b"\n", 2)
    length = int(digits)
    index = json.loads(rest[:length])
    sections = {name: rest[length + start : length + start + size] for name, (start, size) in index.items()}
    hub = json.loads(sections["hub"])
    for connection, url in base_urls.items():
        hub["connections"][connection]["base_url"] = url
    sections["hub"] = json.dumps(hub).encode()
    body, index = b"", {}
    for name, content in sections.items():
        index[name] = (len(body), len(content))
        body += content
    head = json.dumps(index).encode()
    return b"%s\n%010d\n%s%s" % (magic, len(head), head, body)


class Stack:
    """template.yaml, deployed."""

    def __init__(self, ministack):
        self.ministack = ministack
        self.outputs = {}
        self.dropped = []

    def deploy(self, bootstraps, pack_file):
        """`bootstraps`: function → path of its binary."""
        s3, cloudformation = self.ministack.client("s3"), self.ministack.client("cloudformation")
        s3.create_bucket(Bucket=ARTIFACTS, CreateBucketConfiguration={"LocationConstraint": REGION})
        for name, path in bootstraps.items():
            s3.put_object(Bucket=ARTIFACTS, Key=f"{name}.zip", Body=zipped({"bootstrap": path.read_bytes()}))
        s3.put_object(Bucket=ARTIFACTS, Key="layer.zip", Body=zipped({"hub.pack": pack_file.read_bytes()}))
        template = fitted(yaml_parse((ROOT / "template.yaml").read_text()), pack_file, self.dropped)
        s3.put_object(Bucket=ARTIFACTS, Key="template.json", Body=json.dumps(template, default=str))
        parameters = {"Environment": "test", "SecretPrefix": PREFIX, "DataDeletionPolicy": "Delete"}
        cloudformation.create_stack(
            StackName=STACK,
            TemplateURL=f"{self.ministack.endpoint}/{ARTIFACTS}/template.json",
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        self._wait(cloudformation)
        stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        self.outputs = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}

    def _wait(self, cloudformation, seconds=120):
        end = time.monotonic() + seconds
        while True:
            stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
            status = stack["StackStatus"]
            if status == "CREATE_COMPLETE":
                return
            if not status.endswith("_IN_PROGRESS") or time.monotonic() > end:
                events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
                bad = [e for e in events if "FAILED" in e.get("ResourceStatus", "")]
                why = "\n".join(f"  {e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}" for e in reversed(bad))
                raise Failed(f"the stack ended as {status}: {stack.get('StackStatusReason', '')}\n{why}")
            time.sleep(0.2)

    def missing(self):
        """Resources of the template that the deployment does not show."""
        cloudformation = self.ministack.client("cloudformation")
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK)
        have = {r["LogicalResourceId"] for page in pages for r in page["StackResourceSummaries"]}
        template = yaml_parse((ROOT / "template.yaml").read_text())
        dropped = {line.split(":")[0] for line in self.dropped}
        conditional = {n for n, r in template["Resources"].items() if "Condition" in r}
        # The transform renames layers.
        layers = {n for n, r in template["Resources"].items() if r["Type"] == "AWS::Serverless::LayerVersion"}
        return sorted(set(template["Resources"]) - have - dropped - conditional - layers), len(have)

    def receive(self, method, path, body=b"", headers=None):
        """A request to the function URL of `receive`, as a provider sends it: status and body."""
        host = re.sub(r"^https?://|/$", "", self.outputs["ReceiveUrl"])
        request = urllib.request.Request(self.ministack.endpoint + path, data=body or None, method=method)
        request.add_header("Host", host)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def bootstraps(folder):
    """The functions' binaries as cargo built them."""
    found = {name: folder / name for name in FUNCTIONS}
    absent = [name for name, path in found.items() if not path.exists()]
    if absent:
        raise Failed(f"no binary of {', '.join(absent)} in {folder}; run `cargo build -p receive -p transform -p upsert -p reconcile -p rotate`")
    return found


def forget(folder):
    shutil.rmtree(folder, ignore_errors=True)
