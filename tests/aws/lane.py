"""From webhook to CRM write, once, on the deployed template.

template.yaml is deployed to ministack with the binaries that cargo built; a form sends a signed lead to the function URL of
`receive`; the lead must arrive in the HubSpot and in the Salesforce stand-in, once. See stack.py for what ministack cannot do.
"""

import argparse
import base64
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import urllib.request
import uuid

import stack
from stack import Failed

# The command line's part: it packs the configuration, and serves the stand-ins of the CRMs on loopback ports.
PACK = ["check", "--pack"]
SANDBOX = ["sandbox"]
TOKEN = "lane-" + uuid.uuid4().hex
CRMS = ("hubspot", "salesforce")
EMAIL = "ada.lane@example.com"
LEAD = {
    "form_id": "demo-request",
    "submission_id": str(uuid.uuid4()),
    "submitted_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    "fields": {"first_name": "Ada", "last_name": "Lane", "email": EMAIL, "phone": "+4930901820"},
    "utm": {"utm_source": "newsletter", "utm_campaign": "autumn"},
}


def say(text):
    print(f"    {text}", flush=True)


def expect(what, got, wanted):
    if got != wanted:
        raise Failed(f"{what}: expected {wanted!r}, got {got!r}")
    say(f"{what}: {got!r}")


def eventually(what, probe, seconds, ministack):
    """Waits until `probe` gives something true, and gives that."""
    end = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what} did not happen within {seconds} s. The end of ministack's log:\n{ministack.tail()}")
        time.sleep(0.25)


def signed(body, secret, at=None, message=None):
    """The headers of Standard Webhooks."""
    message, at = message or f"msg_{uuid.uuid4().hex}", str(at or int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{message}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(mac).decode()
    return {
        "content-type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": at,
        "webhook-signature": signature,
    }


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=10) as answer:
        return json.load(answer)


@contextlib.contextmanager
def sandboxes(hub):
    """The stand-ins of the CRMs: connection → base URL."""
    ports = {name: stack.free_port() for name in CRMS}
    arguments = [f"--{name}={port}" for name, port in ports.items()]
    process = subprocess.Popen([hub, *SANDBOX, *arguments], start_new_session=True)
    try:
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        for name, url in urls.items():
            end = time.monotonic() + 20
            while True:
                if process.poll() is not None:
                    raise Failed(f"`hub {' '.join([*SANDBOX, *arguments])}` ended with {process.returncode}")
                try:
                    ask(f"{url}/_sandbox/allow-token", {"token": TOKEN})
                    break
                except OSError:
                    if time.monotonic() > end:
                        raise Failed(f"the stand-in of {name} did not answer on {url}") from None
                    time.sleep(0.1)
        yield urls
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)


def packed(hub, folder, urls):
    """The default configuration, with the CRMs where the stand-ins listen."""
    pack = folder / "hub.pack"
    run = subprocess.run([hub, *PACK, pack], cwd=stack.ROOT, capture_output=True, text=True)
    if run.returncode:
        raise Failed(f"`hub {' '.join(PACK)} {pack}` failed:\n{run.stdout}{run.stderr}")
    pack.write_bytes(stack.repoint(pack.read_bytes(), urls))
    return pack


def unkept(deployed):
    """Properties that ministack takes and forgets."""
    dynamodb, sqs = deployed.ministack.client("dynamodb"), deployed.ministack.client("sqs")
    table = deployed.outputs["GoldenTableName"]
    if dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"] != "ENABLED":
        yield "TimeToLiveSpecification of tables"
    backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    if backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] != "ENABLED":
        yield "PointInTimeRecoverySpecification of tables"
    if "SSEDescription" not in dynamodb.describe_table(TableName=table)["Table"]:
        yield "SSESpecification of tables"
    dlq = sqs.get_queue_attributes(QueueUrl=deployed.outputs["FetchDlqUrl"], AttributeNames=["All"])["Attributes"]
    if "RedriveAllowPolicy" not in dlq:
        yield "RedriveAllowPolicy of dead-letter queues"
    master = deployed.ministack.client("secretsmanager").get_secret_value(SecretId=f"{stack.PREFIX}master")["SecretString"]
    if not master.isalnum():
        yield "ExcludePunctuation of GenerateSecretString"


def check_deployment(deployed):
    missing, count = deployed.missing()
    expect("resources of the template that were not deployed", missing, [])
    say(f"{count} resources deployed")
    for line in deployed.dropped:
        say(f"left out: {line}")
    for line in unkept(deployed):
        say(f"deployed, but not kept by ministack: {line}")
    sqs = deployed.ministack.client("sqs")
    urls = {k: v for k, v in deployed.outputs.items() if k.endswith("QueueUrl")}
    for name, url in urls.items():
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        target = json.loads(attributes["RedrivePolicy"])["deadLetterTargetArn"]
        dlq = deployed.outputs[name.replace("QueueUrl", "DlqUrl")]
        expect(f"{name} parks in", target.rsplit(":", 1)[1], dlq.rsplit("/", 1)[1])


def check_front_door(deployed, secret):
    """What the front door refuses, and that it takes what is signed. Gives the message id that it took."""
    body = json.dumps(LEAD).encode()
    forged = signed(body, base64.b64encode(b"x" * 32).decode())
    expect("GET /health", deployed.receive("GET", "/health")[0], 200)
    expect("an unknown path", deployed.receive("POST", "/elsewhere", body)[0], 404)
    expect("an unknown connection", deployed.receive("POST", "/hooks/nobody", body)[0], 404)
    expect("a wrong method", deployed.receive("PUT", "/hooks/form", body)[0], 405)
    expect("an unsigned lead", deployed.receive("POST", "/hooks/form", body)[0], 401)
    expect("a forged lead", deployed.receive("POST", "/hooks/form", body, forged)[0], 401)
    stale = signed(body, secret, at=int(time.time()) - 3600)
    expect("a stale lead", deployed.receive("POST", "/hooks/form", body, stale)[0], 401)
    headers = signed(body, secret)
    for what in ("a signed lead", "the same lead again"):
        status, _ = deployed.receive("POST", "/hooks/form", body, headers)
        expect(f"{what} is accepted", 200 <= status < 300, True)


def mappings(deployed, enabled):
    """Switches the mappings of the ingest queues."""
    client = deployed.ministack.client("lambda")
    for mapping in client.list_event_source_mappings()["EventSourceMappings"]:
        if "-ingest-" in mapping["EventSourceArn"]:
            client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)


def depth(deployed, output):
    attributes = deployed.ministack.client("sqs").get_queue_attributes(
        QueueUrl=deployed.outputs[output], AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    )["Attributes"]
    return sum(int(value) for value in attributes.values())


def leads(url):
    """Records of a stand-in that hold the lead's address."""
    found = []

    def walk(value):
        if isinstance(value, dict):
            texts = [v for v in value.values() if isinstance(v, str)]
            if any(text.lower() == EMAIL for text in texts):
                found.append(value)
            else:
                for inner in value.values():
                    walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(ask(f"{url}/_sandbox/comparable"))
    return found


def check_written(deployed, urls):
    for name, url in urls.items():
        eventually(f"the lead in {name}", lambda: leads(url), 90, deployed.ministack)
        say(f"the lead is in {name}")
    working = [k for k in deployed.outputs if k.endswith("QueueUrl")]
    eventually("empty queues", lambda: not any(depth(deployed, k) for k in working), 90, deployed.ministack)
    for name, url in urls.items():
        expect(f"records of the lead in {name}", len(leads(url)), 1)
    for name in [k for k in deployed.outputs if k.endswith("DlqUrl")]:
        expect(f"messages in {name}", depth(deployed, name), 0)


def rotate(deployed, secret_id):
    """The four steps, as Secrets Manager calls them: ministack does not. Gives the new secret."""
    client, secrets = deployed.ministack.client("lambda"), deployed.ministack.client("secretsmanager")
    arn, version = secrets.describe_secret(SecretId=secret_id)["ARN"], str(uuid.uuid4())
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        event = {"Step": step, "SecretId": arn, "ClientRequestToken": version}
        answer = client.invoke(FunctionName=deployed.outputs["RotateFunction"], Payload=json.dumps(event).encode())
        if "FunctionError" in answer:
            raise Failed(f"rotate failed at {step}: {answer['Payload'].read().decode()}")
    return secrets.get_secret_value(SecretId=secret_id)["SecretString"]


def check_rotation(deployed, secret):
    new = rotate(deployed, f"{stack.PREFIX}form/signing")
    expect("rotation changed the secret", new != secret, True)
    for what, value in (("the new secret", new), ("the previous secret", secret)):
        body = json.dumps(LEAD).encode()
        status, _ = deployed.receive("POST", "/hooks/form", body, signed(body, value))
        expect(f"a lead signed with {what} is accepted", 200 <= status < 300, True)


def journey(ministack, folder, binaries, deploy_only):
    hub = binaries / "hub"
    with contextlib.ExitStack() as cleanup:
        if deploy_only:
            urls, pack = {}, folder / "hub.pack"
            pack.write_bytes(b"")
        else:
            urls = cleanup.enter_context(sandboxes(hub))
            pack = packed(hub, folder, urls)
        deployed = stack.Stack(ministack)
        started = time.monotonic()
        deployed.deploy(stack.bootstraps(binaries), pack)
        say(f"deployed in {time.monotonic() - started:.1f} s")
        check_deployment(deployed)
        if deploy_only:
            return
        secrets = ministack.client("secretsmanager")
        # The template has it generated without punctuation, as base64 wants it; see unkept().
        secrets.put_secret_value(SecretId=f"{stack.PREFIX}master", SecretString=base64.b64encode(os.urandom(48)).decode())
        for name in CRMS:
            value = json.dumps({"access_token": TOKEN})
            secrets.put_secret_value(SecretId=f"{stack.PREFIX}{name}/api", SecretString=value)
        signing = "whsec_" + base64.b64encode(os.urandom(32)).decode()
        secrets.put_secret_value(SecretId=f"{stack.PREFIX}form/signing", SecretString=signing)
        mappings(deployed, False)
        check_front_door(deployed, signing)
        expect("messages in ingest-urgent", depth(deployed, "IngestUrgentQueueUrl"), 2)
        mappings(deployed, True)
        check_written(deployed, urls)
        check_rotation(deployed, signing)
        check_written(deployed, urls)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binaries", type=pathlib.Path, default=stack.BINARIES, help="where cargo put them")
    parser.add_argument("--deploy-only", action="store_true", help="stop after the deployment; needs no working function")
    parser.add_argument("--keep", action="store_true", help="keep the folder with ministack's log")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hub-lane-"))
    ministack = stack.Ministack(folder)
    try:
        ministack.wait()
        journey(ministack, folder, options.binaries.resolve(), options.deploy_only)
    except Failed as failed:
        raise SystemExit(f"    FAILED: {failed}") from None
    finally:
        ministack.stop()
        if options.keep:
            say(f"kept: {folder}")
        else:
            stack.forget(folder)


if __name__ == "__main__":
    main()
