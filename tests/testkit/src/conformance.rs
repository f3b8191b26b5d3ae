//! What every adapter of the ports must do, as named checks: the same for the memory twins, the engines of the local stack, and
//! any endpoint with the protocols of AWS.
//!
//! A check requires only what AWS documents and the hub relies on. A stand-in that cannot do something has a [`Gap`] that names the
//! check and the reason; a gap whose check passes is an error too, so that such lists stay true. Checks use partitions, queues,
//! secrets and keys of their own and may be run in any order, but not twice on one [`Subject`].
#![allow(async_fn_in_trait)]

mod objects;
mod queues;
mod tables;
mod transactions;

use std::fmt;
use std::pin::Pin;

use sync::ports::{Blob, Delivery, PortError, Queue, SecretVersions, Secrets, Store};

/// Ports to check, and what checks need around them.
pub trait Subject {
    /// The ports.
    type Ports: Store + Queue + Blob + Secrets + SecretVersions;

    /// The ports.
    fn ports(&self) -> &Self::Ports;
    /// Receives at most ten messages and hides them for that many seconds: what the poller in front of a function does.
    async fn receive(&self, queue: &str, visibility_s: u32) -> Result<Vec<Delivery>, PortError>;
    /// Deletes a received message, as the poller does.
    async fn delete(&self, queue: &str, receipt: &str) -> Result<(), PortError>;
    /// Lets that many milliseconds pass.
    async fn pass(&self, ms: u64);
    /// What [`SecretVersions`] calls the secret of this logical name.
    fn secret_id(&self, name: &str) -> String;
    /// From now on every transaction meets another one, or none does. False when that cannot be had.
    fn contend(&self, on: bool) -> bool;
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// [`Store`].
    Tables,
    /// [`Queue`], and the poller around it.
    Queues,
    /// [`Blob`].
    Blobs,
    /// [`Secrets`] and [`SecretVersions`].
    Secrets,
}

impl Area {
    /// Every area.
    pub const ALL: &'static [Area] = &[Area::Tables, Area::Queues, Area::Blobs, Area::Secrets];
}

/// A queue that a check needs, with nothing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueNeed {
    /// Its logical name.
    pub name: &'static str,
    /// The queue that messages move to, and after how many receptions. That one is named earlier in [`QUEUES`].
    pub redrive: Option<(&'static str, u32)>,
}

const fn plain(name: &'static str) -> QueueNeed {
    QueueNeed { name, redrive: None }
}

/// Queues that must be there before the checks run.
pub const QUEUES: &[QueueNeed] = &[
    plain("round-trip"),
    plain("batches"),
    plain("one-bad"),
    plain("sizes"),
    plain("texts"),
    plain("refusals"),
    plain("delays"),
    plain("visibility"),
    plain("groups"),
    plain("dead"),
    QueueNeed { name: "redrive", redrive: Some(("dead", 2)) },
];

/// Secrets that must be there before the checks run: logical name and value.
pub const SECRETS: &[(&str, &str)] = &[
    ("untouched", "first"),
    ("pending", "first"),
    ("stages", "first"),
    ("promoted", "first"),
    ("rotated-twice", "first"),
    ("same-version", "first"),
    ("version", "first"),
];

/// What is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    what: String,
}

impl Deviation {
    fn new(what: impl Into<String>) -> Deviation {
        Deviation { what: what.into() }
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Deviation {}

impl<E: fmt::Display> From<Unexpected<E>> for Deviation {
    fn from(error: Unexpected<E>) -> Deviation {
        Deviation::new(format!("{}: {}", error.what, error.error))
    }
}

/// A call failed that must not.
struct Unexpected<E> {
    what: &'static str,
    error: E,
}

/// Says of a failed call what it was to do.
trait During<T, E> {
    fn during(self, what: &'static str) -> Result<T, Unexpected<E>>;
}

impl<T, E> During<T, E> for Result<T, E> {
    fn during(self, what: &'static str) -> Result<T, Unexpected<E>> {
        self.map_err(|error| Unexpected { what, error })
    }
}

type Outcome = Result<(), Deviation>;

/// Longest text of a value in a report.
const SHOWN: usize = 300;

fn shown(value: &impl fmt::Debug) -> String {
    let text = format!("{value:?}");
    if text.chars().count() <= SHOWN { text } else { text.chars().take(SHOWN).chain("…".chars()).collect() }
}

fn expect<T: PartialEq + fmt::Debug>(what: &str, got: T, wanted: T) -> Outcome {
    if got == wanted {
        return Ok(());
    }
    Err(Deviation::new(format!("{what}: wanted {}, got {}", shown(&wanted), shown(&got))))
}

/// The port says that the request will never succeed.
fn rejected<T: fmt::Debug>(what: &str, got: Result<T, PortError>) -> Outcome {
    match got {
        Err(PortError::Rejected { .. }) => Ok(()),
        other => Err(Deviation::new(format!("{what}: wanted a rejection, got {}", shown(&other)))),
    }
}

type Run<S> = for<'a> fn(&'a S) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// A check.
pub struct Check<S> {
    /// Its name, in words.
    pub name: &'static str,
    /// What it is about.
    pub area: Area,
    run: Run<S>,
}

/// Makes checks out of `name => function` pairs.
macro_rules! list {
    ($area:expr, $subject:ident: $($name:literal => $function:path,)+) => {
        vec![$($crate::conformance::Check { name: $name, area: $area, run: |subject: &$subject| Box::pin($function(subject)) },)+]
    };
}
use list;

/// Every check.
pub fn checks<S: Subject>() -> Vec<Check<S>> {
    let mut all = tables::checks();
    all.extend(transactions::checks());
    all.extend(queues::checks());
    all.extend(objects::checks());
    all
}

/// Something that a stand-in cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The name of the check that it fails.
    pub check: &'static str,
    /// Why that is so, and why it may be.
    pub reason: &'static str,
}

/// How the checks went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Names of the checks that passed.
    pub passed: Vec<&'static str>,
    /// Known gaps, with what is missing.
    pub gaps: Vec<(Gap, Deviation)>,
    /// Checks that failed and are not a known gap.
    pub failed: Vec<(&'static str, Deviation)>,
    /// Gaps that do not exist: their check passes, or the areas that were run have no such check.
    pub stale: Vec<Gap>,
}

impl Report {
    /// Whether the subject does what it must, and its gaps are those that are listed.
    pub fn conforms(&self) -> bool {
        self.failed.is_empty() && self.stale.is_empty() && !self.passed.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (gap, deviation) in &self.gaps {
            writeln!(f, "gap     {}: {} ({deviation})", gap.check, gap.reason)?;
        }
        for (check, deviation) in &self.failed {
            writeln!(f, "FAILED  {check}: {deviation}")?;
        }
        for gap in &self.stale {
            writeln!(f, "STALE   {}: listed as a gap, but it is none", gap.check)?;
        }
        let (passed, gaps, failed) = (self.passed.len(), self.gaps.len(), self.failed.len() + self.stale.len());
        write!(f, "{passed} passed, {gaps} known gaps, {failed} failed")
    }
}

/// Runs the checks of these areas, one after another.
pub async fn run<S: Subject>(subject: &S, areas: &[Area], gaps: &[Gap]) -> Report {
    let mut report = Report::default();
    for check in checks::<S>().iter().filter(|check| areas.contains(&check.area)) {
        let outcome = (check.run)(subject).await;
        match (outcome, gaps.iter().find(|gap| gap.check == check.name)) {
            (Ok(()), None) => report.passed.push(check.name),
            (Ok(()), Some(gap)) => report.stale.push(*gap),
            (Err(deviation), Some(gap)) => report.gaps.push((*gap, deviation)),
            (Err(deviation), None) => report.failed.push((check.name, deviation)),
        }
    }
    let met = |gap: &Gap| report.gaps.iter().any(|(g, _)| g == gap) || report.stale.contains(gap);
    let unknown: Vec<Gap> = gaps.iter().filter(|gap| !met(gap)).copied().collect();
    report.stale.extend(unknown);
    report
}
