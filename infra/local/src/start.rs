//! Makes a running stack out of a template.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::dynamodb::Tables;
use crate::event_source::EventSource;
use crate::events::{Bus, Rule};
use crate::gateway::Services;
use crate::ids::{ACCOUNT, now_ms};
use crate::lambda::{FunctionConfig, Host};
use crate::options::Options;
use crate::s3::Buckets;
use crate::secrets::Secrets;
use crate::sqs::Queues;
use crate::stack::{Stack, run_schedule};
use crate::start_error::StartError;
use crate::template::{FunctionSpec, Plan, Template, Values};

impl Stack {
    /// Starts everything that the template describes. It must be called within a multi-threaded tokio runtime.
    ///
    /// # Errors
    /// See [`StartError`]. Then nothing is left running.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        start(options).await
    }
}

async fn start(options: Options) -> Result<Stack, StartError> {
    let text = read(&options.template)?;
    let template = Template::read(&text, &options.parameters)?;
    let (folder, scratch) = state_folder(&options)?;
    let stored_in = options.state_dir.is_some().then_some(folder.as_path());

    let listener = bind(options.endpoint_port).await?;
    let base = format!("http://{}", listener.local_addr()?);
    let secrets = Arc::new(Secrets::open(stored_in.map(|dir| dir.join("secrets.json")), &options.region)?);
    let queues = Arc::new(Queues::open(stored_in.map(|dir| dir.join("queues.jsonl")).as_deref(), &options.region, ACCOUNT)?);
    let tables = Arc::new(Tables::open(stored_in.map(|dir| dir.join("tables.sqlite")).as_deref(), options.conflicts)?);
    let buckets = Arc::new(Buckets::new(folder.join("objects")));

    let mut values = Values {
        stack_name: options.stack_name.clone(),
        region: options.region.clone(),
        base: base.clone(),
        ..Values::default()
    };
    make_secrets(&template, &options, &secrets, &mut values)?;
    let doors = bind_urls(&template, &options, &mut values).await?;
    let plan = template.plan(&values)?;
    make_queues(&plan, &queues, &options)?;
    make_tables(&plan, &tables).await?;
    plan.buckets.iter().try_for_each(|bucket| buckets.ensure(bucket))?;

    let configs = plan.functions.iter().map(|spec| function(spec, &options, &base)).collect::<Result<Vec<_>, _>>()?;
    let host = Arc::new(Host::new(configs, options.log_dir.as_ref(), options.observer.as_ref())?);
    check(&plan, &host, &queues)?;
    secrets.attach(host.clone());
    let rules =
        plan.rules.iter().map(|r| Rule { function: r.function.clone(), pattern: r.pattern.clone(), input: r.input.clone() });
    let bus = Arc::new(Bus { host: host.clone(), region: options.region.clone(), rules: rules.collect() });
    let services = Services { base, tables, queues, secrets, buckets, host, bus };
    let mut stack = Stack {
        services,
        region: options.region.clone(),
        stack_name: options.stack_name.clone(),
        urls: values.urls,
        outputs: plan.outputs.clone(),
        ignored: plan.ignored.clone(),
        schedules: plan.schedules.clone(),
        mappings: BTreeMap::new(),
        tasks: Vec::new(),
        _scratch: scratch,
    };
    set_going(&mut stack, &plan, &options, listener, doors)?;
    Ok(stack)
}

fn read(path: &Path) -> Result<String, StartError> {
    std::fs::read_to_string(path).map_err(|source| StartError::Io { what: format!("{} cannot be read", path.display()), source })
}

async fn bind(port: u16) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(("127.0.0.1", port)).await;
    bound.map_err(|source| StartError::Io { what: format!("127.0.0.1:{port} cannot be listened on"), source })
}

/// The folder that holds the state; a temporary one when no folder is configured.
fn state_folder(options: &Options) -> Result<(PathBuf, Option<tempfile::TempDir>), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    let Some(folder) = &options.state_dir else {
        let scratch = tempfile::tempdir()?;
        return Ok((scratch.path().to_owned(), Some(scratch)));
    };
    if options.fresh && folder.exists() {
        forget(folder)?;
    }
    // The folder holds secrets.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    Ok((folder.clone(), None))
}

/// Removes what a stack has stored, and nothing else that may be in the folder. A file that disappears at the same time is not an
/// error: a database that is being closed removes its own files.
fn forget(folder: &Path) -> std::io::Result<()> {
    let gone = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    gone(std::fs::remove_dir_all(folder.join("objects")))?;
    let files = ["secrets.json", "queues.jsonl", "tables.sqlite", "tables.sqlite-wal", "tables.sqlite-shm"];
    files.iter().try_for_each(|name| gone(std::fs::remove_file(folder.join(name))))
}

fn make_secrets(template: &Template, options: &Options, secrets: &Secrets, values: &mut Values) -> Result<(), StartError> {
    for spec in template.secrets(values)? {
        let given = options.secrets.get(&spec.name);
        let made = secrets.ensure(&spec.name, || given.cloned().unwrap_or_else(|| spec.initial.value()));
        let arn = made.map_err(|source| StartError::Secret { name: spec.name.clone(), source })?;
        values.secrets.insert(spec.logical, arn);
    }
    Ok(())
}

async fn bind_urls(
    template: &Template,
    options: &Options,
    values: &mut Values,
) -> Result<Vec<(String, TcpListener)>, StartError> {
    let mut doors = Vec::new();
    for logical in template.functions_with_url(values)? {
        let listener = bind(options.url_ports.get(&logical).copied().unwrap_or(0)).await?;
        values.urls.insert(logical.clone(), format!("http://{}/", listener.local_addr()?));
        doors.push((logical, listener));
    }
    Ok(doors)
}

fn make_queues(plan: &Plan, queues: &Queues, options: &Options) -> Result<(), StartError> {
    queues.with(|engine| {
        for (name, _) in &plan.queues {
            // The attributes follow below; a queue that was stored may have others.
            engine.create(name, BTreeMap::new(), now_ms()).map_err(|source| StartError::Queue { name: name.clone(), source })?;
        }
        // Queues name each other, so all of them must exist first. The target says what a source may do.
        for with_policy in [false, true] {
            for (name, attributes) in &plan.queues {
                let part = attributes.iter().filter(|(key, _)| (*key == "RedrivePolicy") == with_policy);
                let part = part.map(|(k, v)| (k.clone(), v.clone())).collect();
                engine.set_attributes(name, part).map_err(|source| StartError::Queue { name: name.clone(), source })?;
            }
        }
        if let Some(cap) = options.visibility_cap {
            engine.shorten_all(i64::try_from(cap.as_millis()).unwrap_or(i64::MAX), now_ms());
        }
        Ok(())
    })
}

async fn make_tables(plan: &Plan, tables: &Tables) -> Result<(), StartError> {
    for (request, ttl) in &plan.tables {
        match tables.call("CreateTable", request).await {
            Ok(_) => {}
            Err(kind) if kind.ends_with("ResourceInUseException") => continue,
            Err(kind) => return Err(StartError::Tables(format!("{}: {kind}", request["TableName"]))),
        }
        if let Some(attribute) = ttl {
            let specification = json!({ "Enabled": true, "AttributeName": attribute });
            let update = json!({ "TableName": request["TableName"], "TimeToLiveSpecification": specification });
            tables.call("UpdateTimeToLive", &update).await.map_err(StartError::Tables)?;
        }
    }
    Ok(())
}

fn function(spec: &FunctionSpec, options: &Options, base: &str) -> Result<FunctionConfig, StartError> {
    let binary = options.functions_dir.join(&spec.binary);
    if !binary.is_file() {
        return Err(StartError::NoBinary { path: binary });
    }
    let endpoint = options.endpoint_url.clone().unwrap_or_else(|| base.to_owned());
    let mut environment: BTreeMap<String, String> = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", &options.region),
        ("AWS_DEFAULT_REGION", &options.region),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_SESSION_TOKEN", "local"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    for (name, value) in &spec.environment {
        environment.insert(name.clone(), options.environment.get(name).unwrap_or(value).clone());
    }
    environment.extend(options.extra_environment.clone());
    Ok(FunctionConfig {
        logical: spec.logical.clone(),
        name: spec.name.clone(),
        arn: spec.arn.clone(),
        // An absolute path, because it does not depend on the folder in which the processes start.
        binary: std::fs::canonicalize(&binary)?,
        timeout: spec.timeout,
        memory: spec.memory,
        concurrency: spec.reserved.unwrap_or(usize::MAX).min(options.max_instances).max(1),
        environment,
        async_retries: spec.async_retries,
        async_delay: options.async_retry_delay,
    })
}

/// Checks that every function and queue that is named exists.
fn check(plan: &Plan, host: &Host, queues: &Queues) -> Result<(), StartError> {
    let mapped = plan.mappings.iter().map(|m| &m.function);
    let functions = mapped.chain(plan.schedules.iter().map(|s| &s.function)).chain(plan.rotations.iter().map(|r| &r.1));
    if let Some(missing) = functions.into_iter().find(|name| !host.knows(name)) {
        return Err(StartError::Dangling(format!("function {missing}")));
    }
    let known = queues.with(|engine| engine.names());
    match plan.mappings.iter().find(|m| !known.contains(&m.queue)) {
        Some(mapping) => Err(StartError::Dangling(format!("queue {}", mapping.queue))),
        None => Ok(()),
    }
}

/// Starts servers, pollers, schedules and rotations.
fn set_going(
    stack: &mut Stack,
    plan: &Plan,
    options: &Options,
    listener: TcpListener,
    doors: Vec<(String, TcpListener)>,
) -> Result<(), StartError> {
    let services = stack.services.clone();
    let endpoint = crate::gateway::router(services.clone());
    stack.tasks.push(tokio::spawn(serve(listener, endpoint)));
    for (logical, door) in doors {
        stack.tasks.push(tokio::spawn(serve(door, crate::function_url::router(services.host.clone(), logical))));
    }
    if options.warm {
        services.host.warm();
    }
    for spec in &plan.mappings {
        let switch = stack.mappings.entry(spec.queue.clone()).or_insert_with(|| watch::Sender::new(spec.enabled));
        let source = EventSource {
            spec: spec.clone(),
            queue_arn: services.queues.with(|engine| engine.arn(&spec.queue)),
            region: options.region.clone(),
            queues: services.queues.clone(),
            host: services.host.clone(),
            visibility_cap: options.visibility_cap,
        };
        stack.tasks.push(tokio::spawn(Arc::new(source).run(switch.subscribe())));
    }
    for spec in plan.schedules.iter().filter(|s| s.enabled) {
        let schedule = run_schedule(spec.clone(), options.schedules, options.region.clone(), services.host.clone());
        stack.tasks.push(tokio::spawn(schedule));
    }
    for (secret, function, rules, at_once) in &plan.rotations {
        let failed = |source| StartError::Secret { name: secret.clone(), source };
        services.secrets.set_rotation(secret, function, rules.clone()).map_err(failed)?;
        if *at_once && options.rotate_at_start {
            services.secrets.rotate(secret, None).map_err(failed)?;
        }
    }
    Ok(())
}

async fn serve(listener: TcpListener, router: axum::Router) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    if let Err(error) = axum::serve(listener, service).await {
        eprintln!("local: a server ended: {error}");
    }
}
