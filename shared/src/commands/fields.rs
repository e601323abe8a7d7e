//! Reading a JSON object field by field, so that everything wrong with it is told at once.

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::ids::{AgentId, IntegrationId, JobId, TenantId};

/// What is wrong with one field, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field's path, such as `parameters.agent_id`.
    pub field: String,
    /// What would be right, for people.
    pub message: String,
}

impl FieldError {
    /// An error of that field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// A value that a field can hold.
pub trait Field: Sized {
    /// What the field must be, to end the sentence "must be".
    const EXPECTED: &'static str;

    /// The value, if it is one.
    fn from_value(value: &Value) -> Option<Self>;
}

/// An object being read.
#[derive(Debug)]
pub struct Fields {
    prefix: &'static str,
    values: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Starts reading `values`; errors name their fields `prefix.name`.
    pub fn of(prefix: &'static str, values: Map<String, Value>) -> Self {
        Self { prefix, values, errors: Vec::new() }
    }

    /// A field that must be there.
    pub fn required<T: Field>(&mut self, name: &str) -> Option<T> {
        match self.values.remove(name) {
            None | Some(Value::Null) => {
                self.refuse(name, format!("is required and must be {}", T::EXPECTED));
                None
            }
            Some(value) => self.parse(name, &value),
        }
    }

    /// A field that may be absent or null.
    pub fn optional<T: Field>(&mut self, name: &str) -> Option<T> {
        match self.values.remove(name) {
            None | Some(Value::Null) => None,
            Some(value) => self.parse(name, &value),
        }
    }

    /// Notes that a field is wrong.
    pub fn refuse(&mut self, name: &str, message: impl Into<String>) {
        let path = if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) };
        self.errors.push(FieldError::new(path, message));
    }

    /// Ends the reading: what was not asked for is unknown, and refused.
    pub fn finish<T>(mut self, read: Option<T>) -> Result<T, Vec<FieldError>> {
        for (name, _) in std::mem::take(&mut self.values) {
            self.refuse(&name, "is not a known field");
        }
        read.filter(|_| self.errors.is_empty()).ok_or(self.errors)
    }

    fn parse<T: Field>(&mut self, name: &str, value: &Value) -> Option<T> {
        let parsed = T::from_value(value);
        if parsed.is_none() {
            self.refuse(name, format!("must be {}", T::EXPECTED));
        }
        parsed
    }
}

/// A field that is a UUID in its hyphenated form.
macro_rules! uuid_field {
    ($($id:ty),*) => {$(
        impl Field for $id {
            const EXPECTED: &'static str = "a UUID";

            fn from_value(value: &Value) -> Option<Self> {
                value.as_str().filter(|text| text.len() == 36)?.parse().ok()
            }
        }
    )*};
}

uuid_field!(TenantId, AgentId, IntegrationId, JobId);

impl Field for NaiveDate {
    const EXPECTED: &'static str = "a day as YYYY-MM-DD";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().and_then(crate::time::day)
    }
}

impl Field for u32 {
    const EXPECTED: &'static str = "a whole number";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_u64()?.try_into().ok()
    }
}

impl Field for String {
    const EXPECTED: &'static str = "text without NUL characters";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| !text.contains('\0')).map(str::to_owned)
    }
}

impl Field for Map<String, Value> {
    const EXPECTED: &'static str = "an object";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_object().cloned()
    }
}

impl Field for Vec<JobId> {
    const EXPECTED: &'static str = "a list of UUIDs";

    fn from_value(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(JobId::from_value).collect()
    }
}
