//! Reading a JSON object field by field, so that everything wrong with it is told at once.

use std::fmt;

use chrono::NaiveDate;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::ids::{AgentId, CommandId, IntegrationId, JobId, TenantId};

/// What is wrong with one field, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's path, such as `parameters.agent_id`.
    pub field: String,
    /// What is wrong.
    pub fault: Fault,
}

impl FieldError {
    /// An error of that field.
    pub fn new(field: impl Into<String>, fault: Fault) -> Self {
        Self { field: field.into(), fault }
    }
}

/// The field and what is wrong with it, in words: "parameters.agent_id is required and must be a UUID".
impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.fault)
    }
}

/// With a stable code and its values, by which a front can say it in its own language.
impl Serialize for FieldError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            field: &'a str,
            #[serde(flatten)]
            fault: Map<String, Value>,
            message: String,
        }
        let mut fault = match serde_json::to_value(&self.fault) {
            Ok(Value::Object(fault)) => fault,
            _ => Map::new(),
        };
        // A code that speaks of nothing that a program could use.
        if fault.get("values").and_then(Value::as_object).is_some_and(Map::is_empty) {
            fault.remove("values");
        }
        View { field: &self.field, fault, message: self.fault.to_string() }.serialize(serializer)
    }
}

/// What can be wrong with a field. Its name on the wire is its code, and does not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "code", content = "values", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each says below what it means")]
pub enum Fault {
    #[error("is required and must be {expected}")]
    Required {
        #[serde(skip)]
        expected: &'static str,
    },
    #[error("is not known here")]
    Unknown,
    #[error("must stand only once")]
    Duplicate,
    #[error("must be a UUID")]
    NotAUuid,
    #[error("must be a list of UUIDs")]
    NotAListOfUuids,
    #[error("must be a day as YYYY-MM-DD")]
    NotADay,
    #[error("must be a whole number")]
    NotAnInteger,
    #[error("must be text without NUL characters")]
    NotText,
    #[error("must be true or false")]
    NotABoolean,
    #[error("must be an object")]
    NotAnObject,
    #[error("must be a JSON object: {reason}")]
    NotAJsonObject {
        #[serde(skip)]
        reason: String,
    },
    #[error("must be a query string in UTF-8")]
    NotUtf8,
    #[error("must be a whole number from {min} to {max}")]
    OutOfRange { min: u32, max: u32 },
    #[error("must be 1 to {max} characters without control characters")]
    NotALine { max: usize },
    #[error("must be 1 to {max} visible ASCII characters")]
    NotVisibleAscii { max: usize },
    #[error("must be 1 to {max} characters, not all of them blank")]
    NotFilled { max: usize },
    #[error("must be at most {max} characters")]
    TooLong { max: usize },
    #[error("must hold from {min} to {max} entries")]
    BadCount { min: usize, max: usize },
    #[error("must be one of {}", allowed.join(", "))]
    NotOneOf { allowed: Vec<String> },
    #[error("names no {what}")]
    NotFound { what: &'static str },
    #[error("must agree with {with}")]
    Disagrees { with: &'static str },
    #[error("must be absent: {command_type} is platform-wide")]
    NotForPlatform { command_type: &'static str },
    #[error("must not stand beside {other}")]
    NotBeside { other: &'static str },
    #[error("must not be after {other}")]
    NotAfter { other: &'static str },
    #[error("must be less than {days} days after from")]
    TooManyDays { days: i64 },
    #[error("must be a day that is over: {latest} at the latest")]
    NotOver { latest: NaiveDate },
    #[error("must not reach {day}: its raw requests are not held, so it cannot be counted")]
    NotHeld { day: NaiveDate },
    #[error("must be a cursor of an earlier answer to the same question")]
    BadCursor,
    #[error("must wait: {max} tickets of this tenant are open; close one, or write to one of them")]
    TooManyOpen { max: i64 },
    #[error("was used for another request; use a new key")]
    KeyReused,
}

impl Fault {
    /// None of these words.
    pub fn not_one_of<'a>(allowed: impl IntoIterator<Item = &'a str>) -> Self {
        Self::NotOneOf { allowed: allowed.into_iter().map(str::to_owned).collect() }
    }
}

/// A value that a field can hold.
pub trait Field: Sized {
    /// What the field must be, to end the sentence "must be".
    const EXPECTED: &'static str;
    /// What is wrong where it is not.
    const FAULT: Fault;

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
                self.refuse(name, Fault::Required { expected: T::EXPECTED });
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
    pub fn refuse(&mut self, name: &str, fault: Fault) {
        let path = if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) };
        self.errors.push(FieldError::new(path, fault));
    }

    /// Ends the reading: what was not asked for is unknown, and refused.
    pub fn finish<T>(mut self, read: Option<T>) -> Result<T, Vec<FieldError>> {
        for (name, _) in std::mem::take(&mut self.values) {
            self.refuse(&name, Fault::Unknown);
        }
        read.filter(|_| self.errors.is_empty()).ok_or(self.errors)
    }

    fn parse<T: Field>(&mut self, name: &str, value: &Value) -> Option<T> {
        let parsed = T::from_value(value);
        if parsed.is_none() {
            self.refuse(name, T::FAULT);
        }
        parsed
    }
}

/// A field that is a UUID in its hyphenated form.
macro_rules! uuid_field {
    ($($id:ty),*) => {$(
        impl Field for $id {
            const EXPECTED: &'static str = "a UUID";
            const FAULT: Fault = Fault::NotAUuid;

            fn from_value(value: &Value) -> Option<Self> {
                value.as_str().filter(|text| text.len() == 36)?.parse().ok()
            }
        }
    )*};
}

uuid_field!(TenantId, AgentId, IntegrationId, JobId, CommandId);

impl Field for NaiveDate {
    const EXPECTED: &'static str = "a day as YYYY-MM-DD";
    const FAULT: Fault = Fault::NotADay;

    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().and_then(crate::time::day)
    }
}

impl Field for u32 {
    const EXPECTED: &'static str = "a whole number";
    const FAULT: Fault = Fault::NotAnInteger;

    fn from_value(value: &Value) -> Option<Self> {
        value.as_u64()?.try_into().ok()
    }
}

impl Field for String {
    const EXPECTED: &'static str = "text without NUL characters";
    const FAULT: Fault = Fault::NotText;

    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| !text.contains('\0')).map(str::to_owned)
    }
}

impl Field for bool {
    const EXPECTED: &'static str = "true or false";
    const FAULT: Fault = Fault::NotABoolean;

    fn from_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Field for Map<String, Value> {
    const EXPECTED: &'static str = "an object";
    const FAULT: Fault = Fault::NotAnObject;

    fn from_value(value: &Value) -> Option<Self> {
        value.as_object().cloned()
    }
}

/// A field that is a list of such.
macro_rules! uuid_list_field {
    ($($id:ty),*) => {$(
        impl Field for Vec<$id> {
            const EXPECTED: &'static str = "a list of UUIDs";
            const FAULT: Fault = Fault::NotAListOfUuids;

            fn from_value(value: &Value) -> Option<Self> {
                value.as_array()?.iter().map(<$id>::from_value).collect()
            }
        }
    )*};
}

uuid_list_field!(JobId, CommandId);
