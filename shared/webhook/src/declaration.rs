//! Checks declared forms for what their types cannot express.

use thiserror::Error;

use crate::scheme::{Algorithm, Layout, Location, Scheme, Shared, SharedLocation, Signed, Versions, Webhook};
use crate::template::Segment;

/// Why a declaration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeclarationError {
    /// A list that must have an entry has none.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// A header name that no request can have, since names are in lower case.
    #[error("header name `{0}` is not in lower case")]
    HeaderName(String),
    /// A layout that names versions needs a label in each proof, and the others must not have one.
    #[error("labels belong to the layouts `pairs` and `list`, and are required there")]
    Label,
    /// The content uses a part that is not declared, or a declared part is not covered.
    #[error("`{0}` is declared but not signed, or signed but not declared")]
    Uncovered(&'static str),
    /// A value is declared at a location where it cannot be.
    #[error("`{0}` cannot be at this location")]
    Location(&'static str),
    /// Alternatives of headers that do not go together.
    #[error("signature, id and timestamp need the same number of alternative headers")]
    Alternatives,
    /// `accept` names a version that does not exist.
    #[error("accepted version `{0}` is not declared")]
    UnknownVersion(String),
}

impl Webhook {
    /// Whether signature vectors of `provider` are meant for this scheme, which belongs to the manifest `own_name`.
    pub fn answers_to(&self, own_name: &str, provider: &str) -> bool {
        own_name == provider || self.aliases.iter().any(|alias| alias == provider)
    }

    /// Checks what the types cannot express. A loader calls it once. A declaration that fails here verifies no request either.
    pub fn check(&self) -> Result<(), DeclarationError> {
        match &self.scheme {
            Scheme::Versions(versions) => versions.check(),
            Scheme::Signed(signed) => signed.check(),
            Scheme::UrlForm(form) => header_name(&form.header),
            Scheme::Shared(Shared { at: SharedLocation::Header(name), .. }) => header_name(name),
            Scheme::Shared(_) | Scheme::Basic(_) => Ok(()),
            Scheme::Sns(sns) if sns.certificate_names.is_empty() => Err(DeclarationError::Empty("certificate_names")),
            Scheme::Sns(_) => Ok(()),
        }
    }
}

impl Versions {
    fn check(&self) -> Result<(), DeclarationError> {
        if self.versions.is_empty() {
            return Err(DeclarationError::Empty("versions"));
        }
        if let Some(name) = self.accept.iter().find(|name| !self.versions.iter().any(|v| v.name == **name)) {
            return Err(DeclarationError::UnknownVersion(name.clone()));
        }
        self.versions.iter().try_for_each(|version| {
            version.when.as_ref().map_or(Ok(()), |when| header_name(&when.header))?;
            match (&version.signed, &version.shared) {
                (Some(signed), None) => signed.check(),
                (None, Some(Shared { at: SharedLocation::Header(name), .. })) => header_name(name),
                (None, Some(_)) => Ok(()),
                _ => Err(DeclarationError::Empty("signed, shared: one of them")),
            }
        })
    }
}

impl Signed {
    fn check(&self) -> Result<(), DeclarationError> {
        let labelled = matches!(self.signature.layout, Layout::Pairs | Layout::List);
        if self.proofs.is_empty() {
            return Err(DeclarationError::Empty("proofs"));
        }
        if self.proofs.iter().any(|proof| proof.label.is_some() != labelled) {
            return Err(DeclarationError::Label);
        }
        let hashes = self.proofs.iter().any(|proof| proof.algorithm == Algorithm::Sha256);
        if hashes != self.content.uses(&Segment::Secret) {
            return Err(DeclarationError::Uncovered("secret"));
        }
        if self.timestamp.is_some() != self.content.uses(&Segment::Timestamp) {
            return Err(DeclarationError::Uncovered("timestamp"));
        }
        if self.id.is_some() != self.content.uses(&Segment::Id) {
            return Err(DeclarationError::Uncovered("id"));
        }
        if self.tolerance_s.is_some() && self.timestamp.is_none() || self.repeats_s > 0 && self.tolerance_s.is_none() {
            return Err(DeclarationError::Uncovered("timestamp"));
        }
        self.check_locations()
    }

    fn check_locations(&self) -> Result<(), DeclarationError> {
        let signature = &self.signature.at;
        let also_headers = self.signature.also.iter().any(|at| matches!(at, Location::Header(_) | Location::Pair(_)));
        if matches!(signature, Location::Pair(_)) || also_headers {
            return Err(DeclarationError::Location("signature"));
        }
        let others = self.timestamp.iter().map(|t| &t.at).chain(&self.id);
        for location in std::iter::once(signature).chain(others) {
            match (location, signature) {
                (Location::Header(names), Location::Header(first)) => {
                    names.iter().try_for_each(|name| header_name(name))?;
                    if names.is_empty() || names.len() != first.len() {
                        return Err(DeclarationError::Alternatives);
                    }
                }
                (Location::Header(names), _) if names.len() != 1 => return Err(DeclarationError::Alternatives),
                (Location::Pair(_), _) if self.signature.layout != Layout::Pairs => {
                    return Err(DeclarationError::Location("timestamp"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn header_name(name: &str) -> Result<(), DeclarationError> {
    let fine = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fine { Ok(()) } else { Err(DeclarationError::HeaderName(name.to_owned())) }
}
