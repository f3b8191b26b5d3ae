//! What a stack is started with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::dynamodb::Conflicts;
use crate::lambda::Observer;

/// How schedules of the template run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Schedules {
    /// As their expressions say.
    #[default]
    Real,
    /// As their expressions say, but this many times as often.
    Faster(u32),
    /// All of them this often.
    Every(Duration),
    /// Never by themselves; [`Stack::trigger`](crate::Stack::trigger) runs them.
    Off,
}

/// What a stack is started with. [`Options::new`] fills in everything but the two paths.
#[derive(Clone)]
pub struct Options {
    /// The template.
    pub template: PathBuf,
    /// Values of its parameters; those left out take their defaults.
    pub parameters: BTreeMap<String, String>,
    /// `AWS::StackName`, the beginning of most physical names.
    pub stack_name: String,
    /// `AWS::Region`.
    pub region: String,
    /// Folder that keeps tables, queues, secrets and objects between runs. Without one nothing outlives the stack.
    pub state_dir: Option<PathBuf>,
    /// Forgets what `state_dir` holds.
    pub fresh: bool,
    /// Folder of the function binaries: `target/debug` or `target/release`. A binary is named by the template's
    /// `BuildProperties.Binary`, else by the last part of `CodeUri`.
    pub functions_dir: PathBuf,
    /// Replaces variables, by name, of those functions to which the template gives them.
    pub environment: BTreeMap<String, String>,
    /// Variables that every function gets on top.
    pub extra_environment: BTreeMap<String, String>,
    /// First values of secrets, by physical name, instead of generated ones.
    pub secrets: BTreeMap<String, String>,
    /// Folder of the log files, one per function, appended to.
    pub log_dir: Option<PathBuf>,
    /// Told of every log line and process.
    pub observer: Option<Observer>,
    /// `AWS_ENDPOINT_URL` of the functions, when it is not to be the stack's own endpoint: a proxy in front of it.
    pub endpoint_url: Option<String>,
    /// Port of the endpoint; 0 takes a free one.
    pub endpoint_port: u16,
    /// Ports of function URLs, by logical id of the function; others take a free one.
    pub url_ports: BTreeMap<String, u16>,
    /// Brings messages of a failed, killed or timed-out invocation back after this instead of the queue's visibility
    /// timeout, unless the function set the timeout itself.
    pub visibility_cap: Option<Duration>,
    /// How schedules run.
    pub schedules: Schedules,
    /// Pause before an asynchronous event is tried again (twice this before the third time). A minute in AWS.
    pub async_retry_delay: Duration,
    /// Most processes per function at a time.
    pub max_instances: usize,
    /// Transaction conflicts to raise.
    pub conflicts: Option<Conflicts>,
    /// Starts a process of each function ahead of its first event.
    pub warm: bool,
    /// Rotates secrets when their `RotationSchedule` is made, as AWS does.
    pub rotate_at_start: bool,
}

impl Options {
    /// Options for a template and a folder of binaries: nothing kept, free ports, schedules as they are.
    #[must_use]
    pub fn new(template: impl Into<PathBuf>, functions_dir: impl Into<PathBuf>) -> Self {
        Self {
            template: template.into(),
            parameters: BTreeMap::new(),
            stack_name: "local".into(),
            region: "us-east-1".into(),
            state_dir: None,
            fresh: false,
            functions_dir: functions_dir.into(),
            environment: BTreeMap::new(),
            extra_environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
            log_dir: None,
            observer: None,
            endpoint_url: None,
            endpoint_port: 0,
            url_ports: BTreeMap::new(),
            visibility_cap: Some(Duration::from_secs(5)),
            schedules: Schedules::Real,
            async_retry_delay: Duration::from_secs(1),
            max_instances: 4,
            conflicts: None,
            warm: true,
            rotate_at_start: false,
        }
    }
}
