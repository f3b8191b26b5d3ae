//! Finds the providers: every folder with a `manifest.toml`. Writes what the crate embeds (manifests and mapping files) and the
//! modules of destination protocols and hooks, so that no provider is listed anywhere else.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=.");
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let mut folders: Vec<PathBuf> = entries(&root).into_iter().filter(|f| f.join("manifest.toml").is_file()).collect();
    folders.sort();
    write(&out.join("folders.rs"), &embedded(&folders));
    write(&out.join("protocols.rs"), &protocols(&folders));
    write(&out.join("hooks.rs"), &hooks(&folders));
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok().map(|e| e.path())).collect()
}

fn write(path: &Path, text: &str) {
    if let Err(error) = fs::write(path, text) {
        panic!("{}: {error}", path.display());
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn embedded(folders: &[PathBuf]) -> String {
    let mut text = String::from("pub(crate) const FOLDERS: &[Folder] = &[\n");
    for folder in folders {
        let provider = name(folder);
        let manifest = folder.join("manifest.toml");
        let _ = writeln!(text, "    Folder {{ name: {provider:?}, manifest: include_str!({manifest:?}), maps: &[");
        let mut maps: Vec<PathBuf> = entries(folder).into_iter().filter(|f| name(f).ends_with(".map.toml")).collect();
        maps.sort();
        for map in maps {
            let file = name(&map);
            let stem = file.trim_end_matches(".map.toml");
            let _ = writeln!(text, "        ({stem:?}, include_str!({map:?})),");
        }
        text.push_str("    ] },\n");
    }
    text.push_str("];\n\npub(crate) const NAMES: &[&str] = &[\n");
    for folder in folders {
        let _ = writeln!(text, "    {:?},", name(folder));
    }
    text.push_str("];\n");
    text
}

/// The modules of `api.rs` files, and the function that finds one by its provider's name.
fn protocols(folders: &[PathBuf]) -> String {
    let mut text = String::new();
    let mut arms = String::new();
    for folder in folders.iter().filter(|f| f.join("api.rs").is_file()) {
        let provider = name(folder);
        let module = provider.replace('-', "_");
        let _ = writeln!(
            text,
            "/// The protocol of the folder `{provider}`.\n#[path = {:?}]\npub mod {module};",
            folder.join("api.rs")
        );
        let _ = writeln!(arms, "        {provider:?} => Some(&{module}::API),");
    }
    let _ = write!(
        text,
        "\n/// The protocol of a provider that can be a destination; `None` when it cannot be one.\n\
         pub fn api(provider: &str) -> Option<&'static dyn Api> {{\n    match provider {{\n{arms}        _ => None,\n    }}\n}}\n"
    );
    text
}

/// The modules of `hook.rs` files, and the function that finds one by its folder's name.
fn hooks(folders: &[PathBuf]) -> String {
    let mut text = String::new();
    let mut arms = String::new();
    for folder in folders.iter().filter(|f| f.join("hook.rs").is_file()) {
        let provider = name(folder);
        let module = provider.replace('-', "_");
        let _ =
            writeln!(text, "/// The hook of the folder `{provider}`.\n#[path = {:?}]\npub mod {module};", folder.join("hook.rs"));
        let _ = writeln!(arms, "        {provider:?} => Some({module}::rewrite),");
    }
    let _ = write!(
        text,
        "\n/// The hook of that folder; `None` when it has none.\n\
         pub fn hook(folder: &str) -> Option<Hook> {{\n    match folder {{\n{arms}        _ => None,\n    }}\n}}\n"
    );
    text
}
