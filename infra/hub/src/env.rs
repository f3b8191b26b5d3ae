//! Which hub a command works on: the environment variables of this process name it, or a file of such variables does.

use std::path::Path;

use adapters::environment::{CONFIG, Environment, table_variable};
use sync::ports::Table;

use crate::files::{read_text, root};
use crate::out::CommandError;

/// The file in which the local stack writes how to reach it, from the repository's root.
pub const LOCAL_FILE: &str = ".hub/env";

/// The variables of this process, with those of `file` over them. Without a file, and when the process names no hub, the file of
/// the local stack is read if it exists.
pub fn environment(file: Option<&Path>) -> Result<Environment, CommandError> {
    let mut environment = Environment::of_process();
    let local = root().join(LOCAL_FILE);
    let use_local = file.is_none() && !names_hub(&environment) && local.is_file();
    if let Some(file) = file.or(use_local.then_some(local.as_path())) {
        environment.extend(parse(&read_text(file)?));
    }
    if names_hub(&environment) {
        return Ok(environment);
    }
    let help = "start one with `cargo hub up`, or name a file of its variables with --env (docs/deploy.md)";
    Err(CommandError::Usage(format!("the environment names no hub; {help}")))
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
