//! The data from which the pages are written: the providers' folders, the configuration, the template.

use mapping::FieldRule;
use providers::{Overrides, Provider};

use super::comments::Comments;
use crate::config::{Compiled, Loaded};
use crate::out::CommandError;

/// The data of the pages.
pub struct Facts<'a> {
    /// The providers' folders, by name.
    pub folders: Vec<Folder>,
    /// Connections with mapping files of their own, which override those of a folder.
    pub overridden: Vec<(&'a str, &'a Provider)>,
    /// The configuration.
    pub compiled: &'a Compiled,
    /// The text of `template.yaml`.
    pub template: &'a str,
}

/// A provider's folder.
pub struct Folder {
    /// Its name.
    pub name: &'static str,
    /// The compiled manifest and mappings.
    pub provider: Provider,
}

impl<'a> Facts<'a> {
    /// The data for these folders.
    ///
    /// # Errors
    /// The configuration or a folder has mistakes.
    pub fn new(loaded: &'a Loaded, names: &[&'static str], template: &'a str) -> Result<Facts<'a>, CommandError> {
        let compiled = loaded.sound()?;
        let folder = |name: &&'static str| {
            let provider = Provider::builtin(name, &Overrides::default());
            provider.map(|provider| Folder { name, provider }).map_err(|e| CommandError::Usage(format!("provider `{name}`: {e}")))
        };
        let folders = names.iter().map(folder).collect::<Result<Vec<Folder>, CommandError>>()?;
        let own = |name: &str| compiled.overrides.get(name).is_some_and(|own| !own.mappings.is_empty());
        let overridden = loaded.providers.iter().filter(|(name, _)| own(name)).map(|(name, p)| (name.as_str(), p)).collect();
        Ok(Facts { folders, overridden, compiled, template })
    }

    /// The folder of that name.
    pub fn folder(&self, name: &str) -> Option<&Folder> {
        self.folders.iter().find(|folder| folder.name == name)
    }
}

impl Folder {
    /// The provider's name as people write it.
    pub fn title(&self) -> &str {
        &self.provider.manifest().provider.title
    }

    /// The comments of a file of the folder.
    pub fn comments(&self, file: &str) -> Comments<'static> {
        Comments::new(Provider::builtin_file(self.name, file).unwrap_or_default())
    }
}

/// The reason of a rule: its own `why`, else the comment beside it.
pub fn reason(rule: &FieldRule, comments: &Comments<'_>) -> String {
    match (&rule.why, &rule.file) {
        (Some(why), _) => why.clone(),
        // The line belongs to an overriding file, whose comments are not here.
        (None, Some(_)) => String::new(),
        (None, None) => comments.of_line(rule.line),
    }
}
