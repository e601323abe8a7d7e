//! The audit log: who asked for what, and what came of it. Append only.

use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    changes::{LOOK, TICKET},
    command::{Command, Status},
    db::{Database, Session},
    ids::{CommandId, TenantId},
    rollup::{self, Aggregation},
};

/// One entry of the log, as `record_events` takes it.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Makes the writing idempotent: of two events with one key, the first stays.
    #[serde(rename = "event_key")]
    pub key: String,
    /// What happened, such as `command.succeeded`.
    pub event_type: &'static str,
    /// The tenant it concerns.
    pub tenant_id: Option<TenantId>,
    /// Who caused it, by `sub`.
    pub user_id: String,
    /// Their address.
    pub user_email: Option<String>,
    /// The kind of thing it is about: `command`, or `aggregation`.
    pub resource_type: &'static str,
    /// Which one.
    pub resource_id: String,
    /// What was done, by the command's type.
    pub action: &'static str,
    /// How it stands, such as `SUCCESS`.
    pub status: &'static str,
    /// More, without secrets.
    pub details: Map<String, Value>,
    /// Where the request came from.
    #[serde(flatten)]
    pub origin: Origin,
}

/// Where a request came from.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Origin {
    /// The peer's address.
    pub ip_address: Option<String>,
    /// What it called itself.
    pub user_agent: Option<String>,
}

impl Event {
    /// Somebody asked for a command.
    pub fn requested(command: &Command, origin: Origin) -> Self {
        let details = json!({"parameters": command.parameters, "reason": command.reason});
        Self { origin, ..Self::of(command, "command.requested", Status::Pending, 0, details) }
    }

    /// A command took effect under `fence`.
    pub fn succeeded(command: &Command, fence: u64, result: &Map<String, Value>) -> Self {
        let details = json!({"attempt": command.attempt, "fence": fence, "result": result});
        Self::of(command, "command.succeeded", Status::Success, 0, details)
    }

    /// A command ended without effect under `fence`. It may be reprocessed, and so fail again under another.
    pub fn failed(command: &Command, fence: u64, code: &str, message: &str) -> Self {
        let details = json!({"attempt": command.attempt, "fence": fence, "code": code, "message": message});
        Self::of(command, "command.failed", Status::Error, fence, details)
    }

    /// A dead command was given new attempts by `cause`.
    pub fn reprocessed(command: &Command, cause: CommandId) -> Self {
        let details = json!({"fence": command.fence, "reprocessed_by": cause});
        Self::of(command, "command.reprocessed", Status::Pending, command.fence, details)
    }

    /// Somebody asked for days to be rolled up.
    pub fn aggregation_requested(asked: &Aggregation, origin: Origin) -> Self {
        let mut details = Map::new();
        details.insert("from".to_owned(), json!(asked.from));
        details.insert("to".to_owned(), json!(asked.to));
        let range = format!("{}..{}", asked.from, asked.to);
        Self {
            key: format!("aggregation.requested:{}", Uuid::now_v7()),
            event_type: "aggregation.requested",
            tenant_id: asked.tenant_id,
            user_id: asked.requested_by.clone(),
            user_email: asked.requested_by_email.clone(),
            resource_type: "aggregation",
            resource_id: range,
            action: rollup::KIND,
            status: Status::Pending.as_str(),
            details,
            origin,
        }
    }

    /// An operator looked at a page of a tenant's account.
    pub fn account_viewed(
        tenant: TenantId,
        user_id: &str,
        user_email: Option<&str>,
        path: &str,
        origin: Origin,
    ) -> Self {
        Self {
            key: format!("account.viewed:{}", Uuid::now_v7()),
            event_type: "account.viewed",
            tenant_id: Some(tenant),
            user_id: user_id.to_owned(),
            user_email: user_email.map(str::to_owned),
            resource_type: LOOK,
            resource_id: tenant.to_string(),
            action: "view",
            status: Status::Success.as_str(),
            details: Map::from_iter([("path".to_owned(), json!(path))]),
            origin,
        }
    }

    /// Something was written to a ticket. What it says stands there alone.
    pub fn of_ticket(
        event_type: &'static str,
        action: &'static str,
        ticket: Uuid,
        user_id: &str,
        user_email: Option<&str>,
        origin: Origin,
    ) -> Self {
        Self {
            key: format!("{event_type}:{}", Uuid::now_v7()),
            event_type,
            // The ticket knows.
            tenant_id: None,
            user_id: user_id.to_owned(),
            user_email: user_email.map(str::to_owned),
            resource_type: TICKET,
            resource_id: ticket.to_string(),
            action,
            status: Status::Success.as_str(),
            details: Map::new(),
            origin,
        }
    }

    /// An operator took a list away, narrowed so.
    pub fn exported(list: &str, query: &str, user_id: &str, user_email: Option<&str>, origin: Origin) -> Self {
        Self {
            key: format!("list.exported:{}", Uuid::now_v7()),
            event_type: "list.exported",
            tenant_id: None,
            user_id: user_id.to_owned(),
            user_email: user_email.map(str::to_owned),
            resource_type: "list",
            resource_id: list.to_owned(),
            action: "export",
            status: Status::Success.as_str(),
            details: Map::from_iter([("query".to_owned(), json!(query))]),
            origin,
        }
    }

    fn of(command: &Command, event_type: &'static str, status: Status, fence: u64, details: Value) -> Self {
        let details = match details {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Self {
            key: format!("{event_type}:{}:{fence}", command.id()),
            event_type,
            tenant_id: command.tenant_id,
            user_id: command.created_by.clone(),
            user_email: command.created_by_email.clone(),
            resource_type: "command",
            resource_id: command.id().to_string(),
            action: command.command_type.name(),
            status: status.as_str(),
            details,
            origin: Origin::default(),
        }
    }
}

/// Writes events, in one statement and in a step of its own. Of those that are written already, nothing changes.
pub async fn record(db: &Database, events: &[Event]) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let write = async |mut session: Session| {
        let written = sqlx::query!("SELECT record_events($1)", Json(events) as _).execute(&mut *session).await;
        session.done(written)
    };
    db.statement(write).await.map(|_| ())
}
