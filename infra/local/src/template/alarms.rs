//! The alarms of a template.

use serde_json::Value;

use super::TemplateError;
use super::resolve::{Template, Values};

impl Template {
    /// The properties of the alarms by logical id, without functions.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub(crate) fn alarms(&self, values: &Values) -> Result<Vec<(String, Value)>, TemplateError> {
        let resolver = self.with(values);
        let alarms = self.resources().filter(|(_, kind, _)| *kind == "AWS::CloudWatch::Alarm");
        alarms
            .map(|(logical, _, resource)| {
                Ok((logical.to_owned(), resolver.resolve(&resource["Properties"])?.unwrap_or_default()))
            })
            .collect()
    }
}
