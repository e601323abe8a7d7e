//! What somebody has filled in to send a command, field by field, until it is sent.

use painel_shared::{
    command::NewCommand,
    commands::{CommandType, Fault, HealthCheck},
};
use serde_json::{Map, Value, json};

use super::{href::Href, sections::Section, visit::Visit};
use crate::{internal::command_request::read_command, problem::ApiError, query::QueryFields};

/// The fields of a command.
const FIELDS: [&str; 7] =
    ["command_type", "tenant_id", "agent_id", "integration_id", "queue_name", "message_count", "reason"];
/// What is the form's own, and no part of the command.
const OWN: [&str; 3] = ["idempotency_key", "typed", "counted"];
/// Before the id of a command whose message is to be reprocessed: one field for each that is ticked.
pub(super) const PICKED: &str = "pick-";

/// By this parameter a form says that it is about those that are ticked, and no others.
pub(super) const CHOSEN: &str = "chosen";

/// What was filled in.
pub(super) struct Filled {
    values: Vec<(String, String)>,
    /// The commands whose messages are to be reprocessed, where they are named one by one.
    picked: Vec<String>,
}

impl Filled {
    /// Reads a form; what is unknown is left in it.
    pub(super) fn read(fields: &mut QueryFields) -> Self {
        let names = FIELDS.into_iter().chain(OWN);
        let values = names.filter_map(|name| Some((name.to_owned(), fields.take(name)?)));
        Self { values: values.collect(), picked: fields.take_named(PICKED) }
    }

    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What is sent again with the next step, but for what is the form's own.
    pub(super) fn kept(&self) -> impl Iterator<Item = (String, String)> {
        let values = self.values.iter().filter(|(name, _)| !OWN.contains(&name.as_str())).cloned();
        values.chain(self.picked.iter().map(|id| (format!("{PICKED}{id}"), "on".to_owned())))
    }

    /// The form again, filled in so.
    pub(super) fn form(&self) -> Href {
        let form = Href::to(format!("{}/new", Section::Operations.path()));
        self.kept().fold(form, |form, (name, value)| form.with(&name, &value))
    }

    /// The command as it was filled in. What changes something is asked with a reason.
    pub(super) fn command(&self, visit: &Visit) -> Result<NewCommand, ApiError> {
        let new = read_command(&visit.request, self.body(), &visit.caller)?;
        let has_reason = new.reason.as_deref().is_some_and(|reason| !reason.trim().is_empty());
        if new.command_type != CommandType::of::<HealthCheck>() && !has_reason {
            return Err(ApiError::field("reason", Fault::Required { expected: "" }));
        }
        Ok(new)
    }

    /// The same as a body of the endpoint.
    fn body(&self) -> Map<String, Value> {
        let (mut body, mut parameters) = (Map::new(), Map::new());
        for (name, value) in &self.values {
            match name.as_str() {
                "command_type" | "tenant_id" | "reason" => drop(body.insert(name.clone(), json!(value))),
                name if OWN.contains(&name) => {}
                // What is no number is refused there, and named.
                "message_count" => {
                    let count = value.parse::<u32>().map_or_else(|_| json!(value), |count| json!(count));
                    parameters.insert(name.clone(), count);
                }
                _ => drop(parameters.insert(name.clone(), json!(value))),
            }
        }
        if !self.picked.is_empty() {
            parameters.insert("command_ids".to_owned(), json!(self.picked));
        }
        body.insert("parameters".to_owned(), Value::Object(parameters));
        body
    }
}
