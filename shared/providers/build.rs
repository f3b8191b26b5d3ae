//! Finds the providers: every folder with a `manifest.toml`. Writes the texts that the crate embeds (manifests and mapping files) and the
//! modules of the folders' code (`api.rs` and `hook.rs`), so that no provider is listed anywhere else.

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
    write(&out.join("folder_code.rs"), &(modules(&folders, &API) + &modules(&folders, &HOOK)));
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

/// The modules of a file that some folders have, and the function that finds a folder's item in its module.
fn modules(folders: &[PathBuf], lookup: &Lookup) -> String {
    let mut text = String::new();
    let mut arms = String::new();
    for folder in folders.iter().filter(|f| f.join(lookup.file).is_file()) {
        let provider = name(folder);
        let module = format!("{}_{}", provider.replace('-', "_"), lookup.file.trim_end_matches(".rs"));
        let _ = writeln!(text, "#[path = {:?}]\nmod {module};", folder.join(lookup.file));
        let _ = writeln!(arms, "        {provider:?} => Some({}{module}::{}),", lookup.prefix, lookup.item);
    }
    let Lookup { function, result, documentation, .. } = lookup;
    let _ = write!(
        text,
        "\n/// {documentation}\n\
         pub fn {function}(provider: &str) -> Option<{result}> {{\n    match provider {{\n{arms}        _ => None,\n    }}\n}}\n"
    );
    text
}

/// A function that finds an item by the name of a provider's folder.
struct Lookup {
    function: &'static str,
    result: &'static str,
    documentation: &'static str,
    /// The file of the folder, the item in it, and what precedes the item's path.
    file: &'static str,
    item: &'static str,
    prefix: &'static str,
}

const API: Lookup = Lookup {
    function: "api_of",
    result: "&'static dyn Api",
    documentation: "The API of a provider that can be a destination; `None` when it cannot be one.",
    file: "api.rs",
    item: "API",
    prefix: "&",
};

const HOOK: Lookup = Lookup {
    function: "hook_of",
    result: "Hook",
    documentation: "The hook of a provider's folder; `None` when it has none.",
    file: "hook.rs",
    item: "rewrite",
    prefix: "",
};
