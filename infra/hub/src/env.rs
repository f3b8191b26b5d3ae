//! Which hub a command works on: the environment variables of this process name it, or a file of such variables does.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use adapters::environment::{CONFIG, Environment, table_variable};
use sync::ports::Table;

use crate::files::{read_text, root};
use crate::out::CommandError;

/// The file in which the local stack writes how to reach it, from the repository's root.
pub const LOCAL_FILE: &str = ".hub/env";

/// How long a command waits for the local stack to take a connection.
const CONNECT: Duration = Duration::from_secs(1);

/// The variables of this process, with those of `file` over them. Without a file, and when the process names no hub, the file of
/// the local stack is read.
///
/// # Errors
/// No hub is named, or the named one is a local stack that does not run.
pub fn environment(file: Option<&Path>) -> Result<Environment, CommandError> {
    let mut environment = Environment::of_process();
    if let Some(file) = file {
        environment.extend(parse(&read_text(file)?));
    } else if !names_hub(&environment) {
        let local = root().join(LOCAL_FILE);
        if !local.is_file() {
            return Err(not_running(""));
        }
        environment.extend(parse(&read_text(&local)?));
    }
    if !names_hub(&environment) {
        let help = "its lines are KEY=VALUE, see docs/deploy.md";
        return Err(CommandError::Usage(format!("the file of --env names no tables of a hub; {help}")));
    }
    let endpoint = environment.get("AWS_ENDPOINT_URL").and_then(|url| url.strip_prefix("http://")?.parse::<SocketAddr>().ok());
    match endpoint.filter(|address| address.ip().is_loopback()) {
        Some(address) if TcpStream::connect_timeout(&address, CONNECT).is_err() => {
            Err(not_running(&format!(" (nothing answers at {address})")))
        }
        _ => Ok(environment),
    }
}

fn not_running(detail: &str) -> CommandError {
    let help = "start it with `cargo hub up`, or name a deployed hub with --env (docs/deploy.md)";
    CommandError::Usage(format!("the hub is not running{detail}; {help}"))
}

/// The file with the secrets of the local stack, beside the file of its variables.
pub fn secrets_file(env: Option<&Path>) -> PathBuf {
    env.map_or_else(|| root().join(LOCAL_FILE), Path::to_path_buf).with_file_name("secrets")
}

fn names_hub(environment: &Environment) -> bool {
    environment.get(table_variable(Table::Golden)).is_some()
}

/// The path of the packed configuration, if a variable names one.
pub fn pack(environment: &Environment) -> Option<&Path> {
    environment.get(CONFIG).map(Path::new)
}

/// The variables of a text of `KEY=VALUE` lines; a line that begins with `#` is a comment.
pub fn parse(text: &str) -> impl Iterator<Item = (String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_from_lines() {
        let text = "# the local stack\nHUB_BUCKET=b\n\nAWS_ENDPOINT_URL = http://127.0.0.1:1?a=b\nnothing\n";
        let environment: Environment = parse(text).collect();
        let expected = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1?a=b"), ("HUB_BUCKET", "b")];
        assert_eq!(environment.iter().collect::<Vec<_>>(), expected);
    }
}
