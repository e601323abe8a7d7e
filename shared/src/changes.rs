//! What has been recorded since somebody last looked: the audit log, and the rollup runs.
//!
//! Rows are found by the transaction that wrote them: those that are visible now and were not in the snapshot of the last
//! look. So nothing is passed over that was begun earlier and committed later, and nothing is told twice. Rows of
//! transactions that are still to come were copied from another server, and are no news.

use std::sync::Arc;

use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    db::{Database, Value},
    ids::TenantId,
    statement,
};

/// The resource type of the event that an operator looked at an account.
pub(crate) const LOOK: &str = "account";

/// The resource type of the events of tickets.
pub(crate) const TICKET: &str = "ticket";

/// What was visible at a moment, as PostgreSQL writes it: `xmin:xmax:xip,..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(Arc<str>);

impl Snapshot {
    /// None, where the text holds anything else.
    fn parse(text: &str) -> Option<Self> {
        let plain = text.chars().all(|c| c.is_ascii_digit() || c == ':' || c == ',');
        (plain && !text.is_empty()).then(|| Self(text.into()))
    }

    /// Everything below it was to be seen.
    fn xmin(&self) -> u64 {
        self.0.split(':').next().and_then(|xmin| xmin.parse().ok()).unwrap_or_default()
    }

    /// Whether it is of an earlier moment, or of another history: that of a database which was set back.
    pub fn is_before(&self, other: &Self) -> bool {
        self.xmin() < other.xmin()
    }
}

impl From<&Snapshot> for Value {
    fn from(snapshot: &Snapshot) -> Self {
        Self::Snapshot(Arc::clone(&snapshot.0))
    }
}

/// Something that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is about.
    pub subject: Subject,
    /// The tenant it concerns; none where it concerns the platform.
    pub tenant: Option<TenantId>,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A command: something about it was recorded.
    Command,
    /// Somebody asked for days to be rolled up.
    Aggregation,
    /// A rollup run changed its state.
    Run,
    /// A rollup run has changed what was used.
    Usage,
    /// A ticket was opened, answered or closed.
    Ticket,
    /// An operator looked at a tenant's account, which changed nothing of it.
    Look,
    /// Something else was recorded.
    Other,
}

#[derive(FromRow)]
struct Row {
    snapshot: String,
    subject: Option<String>,
    tenant_id: Option<Uuid>,
}

statement!(
    SINCE: Row =
        r#"SELECT pg_current_snapshot()::text AS "snapshot!", c.subject AS "subject?", c.tenant_id AS "tenant_id?"
           FROM (SELECT $1::text::pg_snapshot AS at) AS seen LEFT JOIN LATERAL (
               SELECT DISTINCT COALESCE(e.resource_type, 'other') AS subject, e.tenant_id FROM operational_events e
               WHERE e.recorded_in >= pg_snapshot_xmin(seen.at) AND NOT pg_visible_in_snapshot(e.recorded_in, seen.at)
                 AND e.recorded_in < pg_snapshot_xmax(pg_current_snapshot())
               UNION ALL
               SELECT DISTINCT CASE r.state WHEN 'succeeded' THEN 'usage' ELSE 'run' END, r.tenant_id FROM rollup_runs r
               WHERE r.changed_in >= pg_snapshot_xmin(seen.at) AND NOT pg_visible_in_snapshot(r.changed_in, seen.at)
                 AND r.changed_in < pg_snapshot_xmax(pg_current_snapshot())
           ) AS c ON true"#,
    None::<String>,
);

/// What has changed since that snapshot, and the one to go on from; without one, that alone.
pub async fn since(db: &Database, seen: Option<&Snapshot>) -> Result<(Snapshot, Vec<Change>), sqlx::Error> {
    let rows = db.ask_as_operator(&SINCE.bind([seen.map_or(Value::None, Value::from)])).await?;
    let snapshot = rows.first().and_then(|row| Snapshot::parse(&row.snapshot));
    let snapshot = snapshot.ok_or_else(|| sqlx::Error::Protocol("PostgreSQL told no snapshot".to_owned()))?;
    let changes = rows.into_iter().filter_map(|row| {
        let subject = match row.subject?.as_str() {
            "command" => Subject::Command,
            "aggregation" => Subject::Aggregation,
            "run" => Subject::Run,
            "usage" => Subject::Usage,
            TICKET => Subject::Ticket,
            LOOK => Subject::Look,
            _ => Subject::Other,
        };
        Some(Change { subject, tenant: row.tenant_id.map(TenantId::from) })
    });
    Ok((snapshot, changes.collect()))
}
