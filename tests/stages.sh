# Sourced by tests/run and .ci/run: stages with a line each, and the tools that they share. Not a program.

export CARGO_TERM_COLOR=never SAM_CLI_TELEMETRY=0 PYTHONDONTWRITEBYTECODE=1
# boto3 and the SAM transform want a region; nothing here reaches AWS.
export AWS_DEFAULT_REGION=eu-west-1 AWS_EC2_METADATA_DISABLED=true
logs=${CARGO_TARGET_DIR:-target}/stage-logs
mkdir -p "$logs"
passed=0
began=$SECONDS
verbose=${verbose:-no}

# stage NAME COMMAND...: runs the command; ends the whole run at the first failure.
stage() {
  local name=$1 from=$SECONDS status=0 log
  shift
  log="$logs/$(printf %s "$name" | tr -c 'a-z0-9' '-').log"
  printf '%-52s ' "$name"
  if [ "$verbose" = yes ]; then
    printf '\n'
    "$@" </dev/null 2>&1 | tee "$log" || status=$?
    printf '%-52s ' "$name"
  else
    "$@" </dev/null >"$log" 2>&1 || status=$?
  fi
  if [ "$status" -ne 0 ]; then
    printf 'FAILED after %d s\n\n' $((SECONDS - from))
    [ "$verbose" = yes ] || tail -n 80 "$log"
    printf '\nstage "%s" failed: %s\nits whole output: %s\n%d passed, 1 failed\n' "$name" "$*" "$log" "$passed"
    exit 1
  fi
  passed=$((passed + 1))
  printf '%4d s\n' $((SECONDS - from))
}

summary() { printf "%d s\n%d passed, 0 failed\n" $((SECONDS - began)) "$passed"; }

# The Python tools, at the versions of tests/requirements.txt, in .venv.
tools() {
  if cmp -s tests/requirements.txt .venv/requirements.installed; then
    echo "as installed before"
    return
  fi
  command -v python3 >/dev/null || { echo "python3 is missing: apt-get install python3 python3-venv"; return 1; }
  if ! python3 -m venv .venv; then
    # Debian ships venv apart from Python.
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "install python3-venv, then try again"; return 1; }
    apt-get update && apt-get install -y --no-install-recommends python3-venv && python3 -m venv .venv || return 1
  fi
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt || return 1
  cp tests/requirements.txt .venv/requirements.installed
}

# The template as its users' tools and its own rules see it. Needs no network.
template() {
  .venv/bin/cfn-lint --template template.yaml &&
    .venv/bin/sam validate --lint --region "$AWS_DEFAULT_REGION" --template template.yaml &&
    .venv/bin/python tests/aws/template_rules.py
}
