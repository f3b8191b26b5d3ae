//! Why a stack does not start.

use std::path::PathBuf;

use crate::secrets::SecretsError;
use crate::sqs::SqsError;
use crate::template::TemplateError;

/// Why a stack does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The template.
    #[error("the template cannot be used")]
    Template(#[from] TemplateError),
    /// A file or a port.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A function has no binary.
    #[error("{} does not exist; build the function first", .path.display())]
    NoBinary {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The engine behind the tables.
    #[error("the tables cannot be opened or created: {0}")]
    Tables(String),
    /// A queue of the template is not what SQS accepts.
    #[error("queue {name}")]
    Queue {
        /// Its name.
        name: String,
        /// What is wrong.
        source: SqsError,
    },
    /// A secret of the template is not what Secrets Manager accepts.
    #[error("secret {name}")]
    Secret {
        /// Its name.
        name: String,
        /// What is wrong.
        source: SecretsError,
    },
    /// An event source mapping, schedule or rule names a function or queue that the template does not have.
    #[error("the template names {0}, which does not exist")]
    Dangling(String),
}

impl From<std::io::Error> for StartError {
    fn from(source: std::io::Error) -> Self {
        Self::Io { what: "a file or port of the local stack".into(), source }
    }
}
