"""What template.yaml must hold beyond what cfn-lint knows, checked on the template as the SAM transform leaves it."""

import fnmatch
import json
import os
import re
import sys

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

import stack


def expanded():
    template = yaml_parse((stack.ROOT / "template.yaml").read_text())
    template["Transform"] = "AWS::Serverless-2016-10-31"
    for resource in template["Resources"].values():
        # The transform wants code that was uploaded; where from does not matter here.
        properties = resource.get("Properties", {})
        for name in ("CodeUri", "ContentUri"):
            if name in properties:
                properties[name] = "s3://bucket/key"
    loader = type("NoManagedPolicies", (), {"load": staticmethod(dict)})()
    return transform(json.loads(json.dumps(template, default=str)), {}, loader)


def of_type(resources, kind):
    return {name: r["Properties"] for name, r in resources.items() if r["Type"] == kind}


def target(value):
    """The logical name that a reference leads to."""
    return value if isinstance(value, str) else value.get("Ref") or value["Fn::GetAtt"][0]


def queue_rules(resources, say):
    queues, functions = of_type(resources, "AWS::SQS::Queue"), of_type(resources, "AWS::Lambda::Function")
    dead = {target(q["RedrivePolicy"]["deadLetterTargetArn"]): name for name, q in queues.items() if "RedrivePolicy" in q}
    alarmed = {
        (target(d["Value"]), a["MetricName"])
        for a in of_type(resources, "AWS::CloudWatch::Alarm").values()
        for d in a.get("Dimensions", [])
        if a["AlarmActions"]
    }
    mapped = {target(m["EventSourceArn"]): m for m in of_type(resources, "AWS::Lambda::EventSourceMapping").values()}
    for name, queue in queues.items():
        if name in dead:
            if (name, "ApproximateNumberOfMessagesVisible") not in alarmed:
                say(f"{name}: no alarm on its depth")
            if queue.get("MessageRetentionPeriod") != 1209600:
                say(f"{name}: a dead-letter queue keeps messages for 14 days")
            continue
        if "RedrivePolicy" not in queue:
            say(f"{name}: no dead-letter queue")
        if (name, "ApproximateAgeOfOldestMessage") not in alarmed:
            say(f"{name}: no alarm on the age of its oldest message")
        if name not in mapped:
            say(f"{name}: nothing consumes it")
            continue
        mapping = mapped[name]
        timeout = functions[target(mapping["FunctionName"])]["Timeout"]
        floor = 6 * timeout + mapping.get("MaximumBatchingWindowInSeconds", 0)
        if queue["VisibilityTimeout"] < floor:
            say(f"{name}: visibility {queue['VisibilityTimeout']} s, at least {floor} s wanted")
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            say(f"{name}: its mapping does not report failures per item")
    for name, queue in queues.items():
        if not queue.get("SqsManagedSseEnabled"):
            say(f"{name}: not encrypted")
    for name in functions:
        for metric in ("Errors", "Throttles"):
            if (name, metric) not in alarmed:
                say(f"{name}: no alarm on {metric}")


def metrics_of(alarm):
    """The metrics of an alarm: its own, or those of its expression."""
    return [m["MetricStat"]["Metric"] for m in alarm["Metrics"] if "MetricStat" in m] if "Metrics" in alarm else [alarm]


def sections(page):
    """The anchors of a page's headings."""
    headings = re.findall(r"^## (.+)$", (stack.ROOT / page).read_text(), re.MULTILINE)
    return {heading.strip().lower().replace(" ", "-") for heading in headings}


def alarm_rules(resources, say):
    """Each alarm reaches somebody, says what to read, and watches a metric that the stack's own functions or services give."""
    for name, alarm in of_type(resources, "AWS::CloudWatch::Alarm").items():
        if not alarm["AlarmActions"] or not alarm["OKActions"]:
            say(f"{name}: reaches nobody")
        text = alarm["AlarmDescription"]
        page = re.search(r"Page(?::| -) (docs/[a-z/-]+\.md|docs/errors/README\.md)(?:#([a-z-]+))?$", text)
        if not page or not (stack.ROOT / page[1]).exists():
            say(f"{name}: its text names no page that exists")
        elif page[2] and page[2] not in sections(page[1]):
            say(f"{name}: {page[1]} has no section {page[2]}")
        if len(text) > 1024:
            say(f"{name}: its text is longer than 1024 characters")
        for metric in metrics_of(alarm):
            namespace = metric["Namespace"]
            if namespace not in ("AWS/SQS", "AWS/Lambda") and namespace != {"Fn::Sub": "crm-hub/${Environment}"}:
                say(f"{name}: no function measures in {namespace}")
        period = alarm.get("Period") or alarm["Metrics"][1]["MetricStat"]["Period"]
        periods = alarm["EvaluationPeriods"]
        if isinstance(periods, int) and period * periods > (604800 if period >= 3600 else 86400):
            say(f"{name}: CloudWatch does not look back for {period * periods} s")


def statements(resources):
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        if role.get("ManagedPolicyArns"):
            yield name, {"Sid": "ManagedPolicyArns", "Action": ["*"], "Resource": role["ManagedPolicyArns"]}
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement


def as_list(value):
    return value if isinstance(value, list) else [value]


def policy_rules(resources, say):
    for role, statement in statements(resources):
        where = f"{role}, {statement.get('Sid', 'a statement')}"
        for action in as_list(statement["Action"]):
            if "*" in action:
                say(f"{where}: allows {action}")
        for resource in as_list(statement["Resource"]):
            # A key prefix of one bucket is as narrow as S3 can be.
            if "*" in json.dumps(resource) and "${Bucket.Arn}/" not in json.dumps(resource):
                say(f"{where}: reaches {resource}")
            if "AuditTable" in json.dumps(resource) and as_list(statement["Action"]) != ["dynamodb:PutItem"]:
                say(f"{where}: the audit table is append-only")
        if role == "ReceiveRole" and any(a.startswith("dynamodb:") for a in as_list(statement["Action"])):
            say(f"{where}: receive touches no table")
        writes = {"dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:UpdateItem"} & set(as_list(statement["Action"]))
        if writes and role != "TransformRole" and "GoldenTable" in json.dumps(statement["Resource"]):
            say(f"{where}: only transform writes golden records")


def reach_rules(resources, say):
    """Each variable that names a resource is matched by a permission on it, and the other way round."""
    roles = {}
    for role, statement in statements(resources):
        roles.setdefault(role, set()).update(re.findall(r"[A-Z][A-Za-z]+(?:Queue|Dlq|Table|Bucket)\b", json.dumps(statement["Resource"])))
        if "${Bucket" in json.dumps(statement):
            roles[role].add("Bucket")
    for name, function in of_type(resources, "AWS::Lambda::Function").items():
        variables = function["Environment"]["Variables"]
        named = {v["Ref"] for v in variables.values() if isinstance(v, dict) and "Ref" in v}
        named = {n for n in named if re.search(r"(Queue|Dlq|Table|^Bucket)$", n)}
        allowed = roles[target(function["Role"])]
        for extra in sorted(named - allowed):
            say(f"{name}: is told of {extra} but may not use it")
        for extra in sorted(allowed - named):
            say(f"{name}: may use {extra} but is not told of it")


def table_rules(resources, say):
    for name, table in of_type(resources, "AWS::DynamoDB::Table").items():
        recovery = table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        if recovery != (name != "KeysTable"):
            say(f"{name}: point-in-time recovery is {recovery}")
        if table["TimeToLiveSpecification"] != {"AttributeName": "ttl", "Enabled": True}:
            say(f"{name}: items do not expire by the attribute ttl")
        if table.get("SSESpecification", {}).get("SSEType") != "KMS":
            say(f"{name}: not encrypted under the hub's key")


def settings_rules(resources, say):
    """The variables of the template and those that shared/adapters/src/environment.rs declares are the same."""
    source = stack.ROOT / "shared/adapters/src/environment.rs"
    if not source.exists():
        say("shared/adapters/src/environment.rs, which declares the variables, is not there")
        return
    settings = source.read_text().split("#[cfg(test)]")[0]
    declared = set(re.findall(r'"(HUB_[A-Z_]+)"', settings))
    prefixes = {d for d in declared if d.endswith("_")}
    functions = of_type(resources, "AWS::Lambda::Function").values()
    given = {name for function in functions for name in function["Environment"]["Variables"]}
    for name in sorted(given):
        if name not in declared and not any(name.startswith(p) for p in prefixes):
            say(f"{name}: set by the template, unknown to shared/adapters/src/environment.rs")
    for name in sorted(declared):
        if name not in given and not (name in prefixes and any(g.startswith(name) for g in given)):
            say(f"{name}: read by shared/adapters/src/environment.rs, set by no function of the template")


# What every function gets by the template's globals.
COMMON = {"HUB_ENVIRONMENT", "HUB_LOG"}


def story(name):
    """The beginning of a function's main.rs: label → text, and the whole file."""
    source = (stack.ROOT / "functions" / name.lower() / "src/main.rs").read_text()
    return dict(re.findall(r"^//! (\S[\w ]*?) {2,}(.+)$", source, re.MULTILINE)), source


def function_rules(resources, say):
    """A function is given what its main.rs says that it reads, and may read the master secret if it opens the vault."""
    secrets = {}
    for role, statement in statements(resources):
        if "secretsmanager:GetSecretValue" in as_list(statement["Action"]):
            secrets.setdefault(role, set()).update(target(r) for r in as_list(statement["Resource"]))
    for name, function in of_type(resources, "AWS::Lambda::Function").items():
        labels, source = story(name)
        said = [word.strip() for word in labels["Environment"].split(",")]
        given = set(function["Environment"]["Variables"]) - COMMON
        for variable in sorted(given):
            if not any(fnmatch.fnmatchcase(variable, pattern) for pattern in said):
                say(f"{name}: is given {variable}, of which functions/{name.lower()}/src/main.rs does not speak")
        for pattern in said:
            if not fnmatch.filter(given, pattern):
                say(f"{name}: functions/{name.lower()}/src/main.rs speaks of {pattern}, which it is not given")
        may = secrets.get(target(function["Role"]), set())
        opens_vault = "vault()" in source or "serve_batches(" in source
        if ("MasterSecret" in may) != opens_vault:
            say(f"{name}: {'may' if 'MasterSecret' in may else 'may not'} read the master secret, and its main.rs says otherwise")


def main():
    resources = expanded()["Resources"]
    problems = []
    for rule in (queue_rules, alarm_rules, policy_rules, reach_rules, table_rules, settings_rules, function_rules):
        rule(resources, problems.append)
    for problem in problems:
        print(f"    template.yaml: {problem}")
    if problems:
        sys.exit(1)
    print(f"    {len(resources)} resources follow the rules")


if __name__ == "__main__":
    main()
