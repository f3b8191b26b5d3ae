//! A stand-in whose state is on disk: a saved state, and a log of everything that was done since. It has no clock and no randomness of
//! its own, so replaying the log gives the state of the moment at which the process ended, even if it was killed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{OutboundWebhook, Request, Response, Sandbox, control};

/// So many steps are logged before the state is saved and the log begins anew.
const STEPS: usize = 2_000;

/// What changes a stand-in.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Request { request: Request, at_ms: i64 },
    WebhooksDue { at_ms: i64 },
    WebhookAnswered { id: u64, accepted: bool, at_ms: i64 },
}

/// A stand-in, with its log if it has one. The methods here are logged; those of [`Sandbox`] that it derefs to are not.
pub struct Logged {
    sandbox: Box<dyn Sandbox>,
    log: Option<Log>,
}

/// The log of a stand-in. Each step is one line, written before it is taken.
struct Log {
    /// The file of the saved state.
    state: PathBuf,
    /// The number of the log that belongs to the saved state.
    number: u64,
    file: File,
    steps: usize,
}

impl Deref for Logged {
    type Target = Box<dyn Sandbox>;
    fn deref(&self) -> &Box<dyn Sandbox> {
        &self.sandbox
    }
}

impl DerefMut for Logged {
    fn deref_mut(&mut self) -> &mut Box<dyn Sandbox> {
        &mut self.sandbox
    }
}

impl Logged {
    /// A stand-in that forgets everything when the process ends.
    pub(crate) fn in_memory(sandbox: impl Sandbox + 'static) -> Logged {
        Logged { sandbox: Box::new(sandbox), log: None }
    }

    /// A stand-in with the state of this file and of the log beside it. Both are made if they do not exist.
    ///
    /// # Errors
    /// A file cannot be read or written, or it holds no state of this stand-in.
    pub(crate) fn open(sandbox: impl Sandbox + 'static, state: &Path) -> io::Result<Logged> {
        let mut sandbox: Box<dyn Sandbox> = Box::new(sandbox);
        let number = match std::fs::read(state) {
            Ok(bytes) => {
                let saved: Value = serde_json::from_slice(&bytes)?;
                restore(sandbox.as_mut(), &saved["state"])?;
                saved["log"].as_u64().unwrap_or_default()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        replay(sandbox.as_mut(), &log_path(state, number))?;
        // Webhooks that were in flight are sent again: nobody knows how they ended.
        let state_now = sandbox.save();
        restore(sandbox.as_mut(), &state_now)?;
        let log = Log::begin(state, number + 1, sandbox.as_ref())?;
        let _ = std::fs::remove_file(log_path(state, number));
        Ok(Logged { sandbox, log: Some(log) })
    }

    /// Answers a request to the API or under `/_sandbox/`.
    ///
    /// # Errors
    /// The log cannot be written. Then nothing was done.
    pub fn answer(&mut self, request: Request, at_ms: i64) -> io::Result<Response> {
        let step = Step::Request { request, at_ms };
        self.write(&step)?;
        let Step::Request { request, .. } = step else { return Err(io::ErrorKind::InvalidInput.into()) };
        Ok(answer(self.sandbox.as_mut(), &request, at_ms))
    }

    /// [`Sandbox::due_webhooks`], logged. Without a log line there are none.
    pub fn due_webhooks(&mut self, at_ms: i64) -> Vec<OutboundWebhook> {
        let due = self.sandbox.next_webhook_ms().is_some_and(|due_ms| due_ms <= at_ms);
        if !due || self.write(&Step::WebhooksDue { at_ms }).is_err() {
            return Vec::new();
        }
        self.sandbox.due_webhooks(at_ms)
    }

    /// [`Sandbox::webhook_answered`], logged. Without a log line the webhook is sent again after the next start.
    pub fn webhook_answered(&mut self, id: u64, accepted: bool, at_ms: i64) {
        let _ = self.write(&Step::WebhookAnswered { id, accepted, at_ms });
        self.sandbox.webhook_answered(id, accepted, at_ms);
    }

    fn write(&mut self, step: &Step) -> io::Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        if log.steps >= STEPS {
            let (state, number) = (log.state.clone(), log.number);
            *log = Log::begin(&state, number + 1, self.sandbox.as_ref())?;
            let _ = std::fs::remove_file(log_path(&state, number));
        }
        let mut line = serde_json::to_vec(step)?;
        line.push(b'\n');
        log.steps += 1;
        log.file.write_all(&line)
    }
}

impl Log {
    /// Saves the state and begins its log. A crash in between leaves the former state with its own log.
    fn begin(state: &Path, number: u64, sandbox: &dyn Sandbox) -> io::Result<Log> {
        if let Some(folder) = state.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(log_path(state, number))?;
        let draft = state.with_extension("new");
        let saved = json!({ "log": number, "state": sandbox.save() });
        private(OpenOptions::new().write(true).create(true).truncate(true))
            .open(&draft)?
            .write_all(saved.to_string().as_bytes())?;
        std::fs::rename(&draft, state)?;
        Ok(Log { state: state.to_owned(), number, file, steps: 0 })
    }
}

/// Files that hold tokens are for their owner alone.
fn private(options: &mut OpenOptions) -> &OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

fn log_path(state: &Path, number: u64) -> PathBuf {
    state.with_extension(format!("{number}.jsonl"))
}

fn restore(sandbox: &mut dyn Sandbox, saved: &Value) -> io::Result<()> {
    sandbox.restore(saved).map_err(|refused| io::Error::new(io::ErrorKind::InvalidData, refused.to_string()))
}

/// Takes the steps of a log again. A last line that is not whole was written when the process ended, and nothing was done for it.
fn replay(sandbox: &mut dyn Sandbox, log: &Path) -> io::Result<()> {
    let file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for line in BufReader::new(file).split(b'\n') {
        let Ok(step) = serde_json::from_slice(&line?) else { return Ok(()) };
        match step {
            Step::Request { request, at_ms } => drop(answer(sandbox, &request, at_ms)),
            Step::WebhooksDue { at_ms } => drop(sandbox.due_webhooks(at_ms)),
            Step::WebhookAnswered { id, accepted, at_ms } => sandbox.webhook_answered(id, accepted, at_ms),
        }
    }
    Ok(())
}

fn answer(sandbox: &mut dyn Sandbox, request: &Request, at_ms: i64) -> Response {
    control(sandbox, request, at_ms).unwrap_or_else(|| sandbox.handle(request, at_ms))
}
