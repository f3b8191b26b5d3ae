//! The set of providers: every embedded folder except those that are left out at run time.

use crate::provider::{LoadError, Overrides, Provider};

/// A set of providers by their folders' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    names: Vec<&'static str>,
}

impl Default for Registry {
    /// All of them.
    fn default() -> Registry {
        Registry { names: Provider::builtin_names().to_vec() }
    }
}

impl Registry {
    /// The same set without these.
    ///
    /// # Errors
    /// One of them is not a provider.
    pub fn without<N: AsRef<str>>(mut self, names: &[N]) -> Result<Registry, LoadError> {
        for name in names.iter().map(AsRef::as_ref) {
            if !Provider::builtin_names().contains(&name) {
                return Err(LoadError::Unknown(name.to_owned()));
            }
            self.names.retain(|known| *known != name);
        }
        Ok(self)
    }

    /// Their names, in order.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// Compiles the folder of that name with a user's overrides.
    ///
    /// # Errors
    /// The provider is not in the set, or its files have mistakes.
    pub fn open(&self, name: &str, overrides: &Overrides) -> Result<Provider, LoadError> {
        if !self.names.contains(&name) {
            return Err(LoadError::Unknown(name.to_owned()));
        }
        Provider::builtin(name, overrides)
    }
}
