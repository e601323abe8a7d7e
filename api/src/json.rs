//! Reading a body as a JSON object: no key stands twice in it, wherever.

use std::fmt;

use painel_shared::commands::{Fault, FieldError};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::problem::ApiError;

/// The JSON object that is a request's body.
pub fn json_object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let refused = |reason: String| ApiError::field("body", Fault::NotAJsonObject { reason });
    let mut twice = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Unique { path: "", twice: &mut twice }.deserialize(&mut deserializer);
    let read =
        read.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| refused(error.to_string()))?;
    let Value::Object(object) = read else { return Err(refused("it is another JSON value".to_owned())) };
    match twice.is_empty() {
        true => Ok(object),
        false => Err(ApiError::Validation(twice)),
    }
}

/// How many keys that stand twice are named.
const NAMED: usize = 20;

/// A value, and the keys in it that stand twice.
struct Unique<'a> {
    /// Where the value stands.
    path: &'a str,
    twice: &'a mut Vec<FieldError>,
}

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A value that holds no other.
macro_rules! plain {
    ($($method:ident: $type:ty),+ $(,)?) => {$(
        fn $method<E>(self, value: $type) -> Result<Value, E> {
            Ok(Value::from(value))
        }
    )+};
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    plain!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str, visit_string: String);

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(Unique { path: self.path, twice: &mut *self.twice })? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            let value = entries.next_value_seed(Unique { path: &path, twice: &mut *self.twice })?;
            if object.insert(key, value).is_some() && self.twice.len() < NAMED {
                self.twice.push(FieldError::new(&path, Fault::Duplicate));
            }
        }
        Ok(Value::Object(object))
    }
}
