//! `hub add`: writes a provider's section into `hub.toml`, and says what comes next.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::config::{DEFAULT_PATH, Loaded};
use crate::configuration::{ConfigArgs, provider};
use crate::files::{invalid, read_text, root, shown, write};
use crate::out::{CommandError, print, print_line};
use crate::section::{Section, section};

/// Arguments of `hub add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The provider
    pub provider: String,
    /// The name of the connection [default: the provider's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Print the section and change nothing
    #[arg(long)]
    pub print: bool,
}

/// Runs the command.
pub fn run(args: &AddArgs) -> Result<ExitCode, CommandError> {
    let provider = provider(&args.provider)?;
    let name = args.name.as_deref().unwrap_or(&args.provider);
    let section = section(&provider, name);
    if args.print {
        print(&section.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = args.config.config.clone().unwrap_or_else(|| root().join(DEFAULT_PATH));
    add(args, &path, name, &section)?;
    print_line(format_args!("{}: [connections.{name}] is added", shown(&path)))?;
    print(next_steps(&args.provider, name, &section))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the section into the file.
fn add(args: &AddArgs, path: &Path, name: &str, section: &Section) -> Result<(), CommandError> {
    let before = args.config.load_sound()?;
    if before.sound()?.hub.connections.contains_key(name) {
        let help = "choose another name with --name";
        return Err(CommandError::Usage(format!("there is a connection `{name}` already; {help}")));
    }
    let text = with_section(&read_text(path)?, &section.text).map_err(|fault| invalid(path, fault))?;
    let after = Loaded::with(&args.config.providers.registry()?, &shown(path), text.clone(), path.parent());
    after.sound()?;
    write(path, text.as_bytes())
}

/// The text with the section behind its last connection, and with the next generation if it has one.
fn with_section(text: &str, section: &str) -> Result<String, String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    raise_generation(&mut lines)?;
    let last = lines.iter().rposition(|line| line.starts_with("[connections")).map_or(lines.len(), |at| at + 1);
    let rest = lines.get(last..).unwrap_or_default();
    // The section ends before the next one, and before the comments and blank lines above that.
    let next = rest.iter().position(|line| line.starts_with('[') || line.starts_with('#')).map_or(lines.len(), |at| last + at);
    let end = lines[..next].iter().rposition(|line| !line.trim().is_empty()).map_or(0, |at| at + 1);
    lines.insert(end, format!("\n{}", section.trim_end()));
    Ok(lines.join("\n") + "\n")
}

/// Raises the generation of a file that numbers itself.
fn raise_generation(lines: &mut [String]) -> Result<(), String> {
    let Some(line) = lines.iter_mut().find(|line| line.starts_with("generation")) else { return Ok(()) };
    let (_, value) = line.split_once('=').ok_or("the line of `generation` has no `=`")?;
    let (number, comment) = value.split_once('#').map_or((value, String::new()), |(n, comment)| (n, format!("  #{comment}")));
    let number: u64 = number.trim().replace('_', "").parse().map_err(|_| "`generation` is not a number")?;
    *line = format!("generation = {}{comment}", number + 1);
    Ok(())
}

fn next_steps(provider: &str, name: &str, section: &Section) -> String {
    let mut steps = Vec::new();
    if !section.to_fill_in.is_empty() {
        steps.push(format!("Fill in what only you know: {}.", section.to_fill_in.join(", ")));
    }
    if section.text.contains("\"destination\"") {
        steps.push(format!("Add `{name}` to the objects in [destinations] that the hub should write there."));
    }
    steps.push(
        "Run `cargo hub check`, then `cargo hub template`, which adds its secrets and permissions to template.yaml.".to_owned(),
    );
    steps.push(format!("Try it on this machine: `cargo hub up`, then `cargo hub send {name}`."));
    steps.push("Deploy (docs/deploy.md), and store its secrets below the stack's prefix, each from a file:".to_owned());
    let mut text = "next:\n".to_owned();
    for (number, step) in steps.iter().enumerate() {
        text += &format!("  {}. {step}\n", number + 1);
    }
    for (secret, content) in &section.secrets {
        text += &format!("       {secret}   {content}\n");
    }
    let last = steps.len() + 1;
    text + &format!(
        "  {last}. Enter the URL <ReceiveUrl>hooks/{name} at the provider, as shared/providers/{provider}/README.md says.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT;

    #[test]
    fn the_section_follows_the_last_connection() {
        let text = "generation = 4 # why\n\n[connections.a]\nx = 1\n\n# ---\n# Next\n[destinations]\n";
        let expected =
            "generation = 5  # why\n\n[connections.a]\nx = 1\n\n[connections.b]\ny = 2\n\n# ---\n# Next\n[destinations]\n";
        assert_eq!(with_section(text, "[connections.b]\ny = 2\n").unwrap(), expected);
        assert!(with_section("generation = x\n[connections]\n", "").is_err());
    }

    #[test]
    fn the_shipped_file_takes_a_section() {
        let section = section(&provider("xero").unwrap(), "xero");
        let text = with_section(DEFAULT, &section.text).unwrap();
        let loaded = Loaded::new("hub.toml", text, None);
        let hub = &loaded.sound().unwrap().hub;
        assert_eq!(hub.connections["xero"].signing_secret.as_deref(), Some("xero/signing"));
    }
}
