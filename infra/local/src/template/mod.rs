//! Reads `template.yaml`: parameters, conditions, intrinsic functions, and the resources that the stack can run.
//!
//! A function or reference that cannot be evaluated exactly is an error, never a guess. `AllowedPattern` is not checked.

mod alarms;
mod functions;
mod plan;
mod resolve;
mod yaml;

pub(crate) use plan::{FunctionSpec, MappingSpec, Plan, ScheduleSpec};
pub(crate) use resolve::{Template, Values};

/// What is wrong with a template, or with what was given for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text cannot be read.
    #[error("line {line}: {reason}")]
    Yaml {
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A parameter has no value, an unknown name, or a value that the template does not allow.
    #[error("parameter {name}: {reason}")]
    Parameter {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An intrinsic function cannot be answered.
    #[error("{function} of {argument}: {reason}")]
    Intrinsic {
        /// The function.
        function: &'static str,
        /// Its argument.
        argument: String,
        /// Why it cannot be evaluated.
        reason: &'static str,
    },
    /// The template uses something whose effect the local stack cannot have.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// A property is missing or has the wrong form.
    #[error("resource {resource}: {property} is missing or malformed")]
    Property {
        /// Logical id.
        resource: String,
        /// Name of the property.
        property: &'static str,
    },
}
