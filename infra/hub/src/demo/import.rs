//! The demo's import: what Salesforce held before the day is planned, taken in, and compared with the plan.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sync::import::{Import, ImportState, count_results, read_import};
use sync::ports::Clock;
use sync::rehearsal::rehearse;

use crate::operate::import::{ScopeArgs, scope, start};
use crate::operate::open::HubArgs;
use crate::operate::plan::counts;
use crate::out::CommandError;
use crate::stack::Running;

/// The connection and the object that are imported.
const CONNECTION: &str = "salesforce";
const OBJECT: &str = "Contact";
/// Records per minute: all of them at once.
const RATE: u32 = 60_000;
/// How long the import may take.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How often the demo looks at it.
const POLL: Duration = Duration::from_millis(200);

/// What the import did.
pub struct Imported {
    /// Its records by result.
    pub results: BTreeMap<String, u64>,
    /// The records that it created, by connection, as the plan had it.
    pub created: BTreeMap<String, u64>,
    /// Where it differs from its plan.
    pub faults: Vec<String>,
}

/// Plans the import, then does it.
pub async fn plan_and_import(running: &Running) -> Result<Imported, CommandError> {
    let (ports, config) = HubArgs { env: Some(running.env_file.clone()) }.open_whole()?;
    let args = ScopeArgs { objects: vec![OBJECT.to_owned()], rate: RATE, ..ScopeArgs::default() };
    let import = Import::new(CONNECTION, scope(&config, CONNECTION, &args)?, RATE, None, ports.now_ms());
    let plan = rehearse(&ports, &config, import.clone()).await?;
    let mut created = BTreeMap::new();
    for ((connection, _), counts) in counts(&plan) {
        *created.entry(connection).or_default() += counts.created as u64;
    }
    start(&ports, import).await?;
    let started = Instant::now();
    let results = loop {
        let stored = read_import(&ports, CONNECTION).await?;
        if let Some(import) = stored.filter(|import| import.state == ImportState::Done) {
            let results = count_results(&ports, &import).await?;
            if results.values().sum::<u64>() >= import.taken {
                break results;
            }
        }
        if started.elapsed() > TIMEOUT {
            return Err(CommandError::Backend("the import does not come to its end; see .hub/demo/logs".to_owned()));
        }
        tokio::time::sleep(POLL).await;
    };
    let mut faults = Vec::new();
    if results != plan.results {
        faults.push(format!("the import of {CONNECTION} ended as {results:?}, and its plan said {:?}", plan.results));
    }
    Ok(Imported { results, created, faults })
}
