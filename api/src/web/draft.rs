//! What somebody is about to write to a ticket, and what was wrong with it when they tried.

use actix_web::{ResponseError, http::StatusCode};
use painel_shared::secrets::random_token;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::texts::Texts;
use crate::{problem::ApiError, query::QueryFields};

/// A form's fields. It bears its Idempotency-Key: a double click, a reload or Back writes once.
pub(super) struct Draft {
    pub(super) key: String,
    pub(super) subject: String,
    pub(super) message: String,
    pub(super) closes: bool,
    /// What is wrong, by field.
    pub(super) errors: Vec<(String, String)>,
}

impl Draft {
    /// An empty one, with a key of its own.
    pub(super) fn new() -> Result<Self, ApiError> {
        let key = random_token()?.expose_secret().to_owned();
        Ok(Self { key, subject: String::new(), message: String::new(), closes: false, errors: Vec::new() })
    }

    /// What was sent.
    pub(super) fn read(mut fields: QueryFields) -> Result<Self, ApiError> {
        let mut take = |name| fields.take(name).unwrap_or_default();
        let key = take("idempotency_key");
        // Forms send what is typed with the line ends of the net.
        let (subject, message) = (take("subject"), take("message").replace("\r\n", "\n"));
        let closes = !take("close").is_empty();
        fields.finish()?;
        Ok(Self { key, subject, message, closes, errors: Vec::new() })
    }

    /// The same as a body of the endpoint that takes those.
    pub(super) fn body(&self, names: &[&str]) -> Map<String, Value> {
        let text = |text: &String| (!text.is_empty()).then(|| json!(text));
        let fields = [
            ("subject", text(&self.subject)),
            ("message", text(&self.message)),
            ("close", Some(json!(self.closes))),
        ];
        let sent = fields.into_iter().filter(|(name, _)| names.contains(name));
        sent.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }

    /// The same after that came of it, where what was typed must stay: what is wrong with it, or why it was not taken.
    pub(super) fn after(mut self, t: &'static Texts, error: ApiError) -> Result<(StatusCode, Self), ApiError> {
        let status = error.status_code();
        match error {
            ApiError::Validation(faults) => {
                self.errors = faults.iter().map(|fault| (fault.field.clone(), t.faults.of(fault))).collect();
            }
            // Sent again it is another deed.
            ApiError::KeyReused => {
                self.key = Self::new()?.key;
                self.errors = vec![("message".to_owned(), t.send.sent_already.to_owned())];
            }
            error if error.wait().is_some() => {
                let (_, why) = t.errors.of(status);
                self.errors = vec![("message".to_owned(), why.to_owned())];
            }
            error => return Err(error),
        }
        Ok((status, self))
    }

    /// Whether something is wrong with that field.
    pub(super) fn is_wrong(&self, name: &str) -> bool {
        self.errors.iter().any(|(field, _)| field == name)
    }

    /// Whether anything is wrong.
    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }
}
