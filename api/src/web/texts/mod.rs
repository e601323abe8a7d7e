//! What the panel says: one struct of texts, a value for each language. A text that is missing, or said by nobody, does not
//! compile.

mod en;
mod pages;
mod pt;

use actix_web::http::StatusCode;
use painel_shared::commands::{Fault, FieldError};
use serde::{Deserialize, Serialize};

pub(super) use self::pages::{
    AgentsTexts, AggregationsTexts, AuditTexts, BillingTexts, CatalogueTexts, CommandTexts, CompanyTexts,
    ConnectionsTexts, DashboardTexts, DeadTexts, IntegrationsTexts, KindTexts, OperationsTexts, QueueTexts,
    SendTexts, SettingsTexts, StatesTexts, StatusTexts, SubnucleiTexts, SupportTexts, TableTexts, TenantsTexts,
    TicketsTexts, UsageTexts,
};

/// A language that the panel speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    /// Brazilian Portuguese.
    #[default]
    Portuguese,
    /// English.
    English,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Portuguese, Self::English];

    /// Its tag (RFC 5646).
    pub fn tag(self) -> &'static str {
        match self {
            Self::Portuguese => "pt-BR",
            Self::English => "en",
        }
    }

    /// What it is called in itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portuguese => "Português (Brasil)",
            Self::English => "English",
        }
    }

    pub(super) fn texts(self) -> &'static Texts {
        match self {
            Self::Portuguese => &pt::TEXTS,
            Self::English => &en::TEXTS,
        }
    }
}

/// A title, and what it means.
pub(super) type Said = (&'static str, &'static str);

/// Everything that is said.
pub(super) struct Texts {
    pub(super) shell: ShellTexts,
    pub(super) menu: MenuTexts,
    pub(super) stop: StopTexts,
    pub(super) errors: ErrorTexts,
    pub(super) faults: FaultTexts,
    pub(super) table: TableTexts,
    pub(super) status: StatusTexts,
    pub(super) commands: [KindTexts; 4],
    pub(super) operations: OperationsTexts,
    pub(super) queues: QueueTexts,
    pub(super) dead: DeadTexts,
    pub(super) states: StatesTexts,
    pub(super) tenants: TenantsTexts,
    pub(super) audit: AuditTexts,
    pub(super) aggregations: AggregationsTexts,
    pub(super) agents: AgentsTexts,
    pub(super) subnuclei: SubnucleiTexts,
    pub(super) catalogue: CatalogueTexts,
    pub(super) connections: ConnectionsTexts,
    pub(super) integrations: IntegrationsTexts,
    pub(super) support: SupportTexts,
    pub(super) tickets: TicketsTexts,
    pub(super) usage: UsageTexts,
    pub(super) dashboard: DashboardTexts,
    pub(super) company: CompanyTexts,
    pub(super) billing: BillingTexts,
    pub(super) command: CommandTexts,
    pub(super) send: SendTexts,
    pub(super) settings: SettingsTexts,
    /// Plans, segments and roles, as they are stored and as they are called.
    pub(super) plans: [(&'static str, &'static str); 4],
    pub(super) segments: [(&'static str, &'static str); 4],
    pub(super) roles: [(&'static str, &'static str); 3],
}

/// Around every page.
pub(super) struct ShellTexts {
    pub(super) skip: &'static str,
    pub(super) menu: &'static str,
    pub(super) sign_out: &'static str,
    pub(super) error_prefix: &'static str,
    pub(super) looking_at: fn(&str) -> String,
    pub(super) stop_looking: &'static str,
    pub(super) times_in: &'static str,
    pub(super) request: &'static str,
    pub(super) stale: &'static str,
    pub(super) ended: &'static str,
    pub(super) new_rows: &'static str,
    pub(super) copied: &'static str,
    pub(super) ending: &'static str,
    pub(super) go_on: &'static str,
    pub(super) keys: &'static str,
    pub(super) palette: &'static str,
    pub(super) close: &'static str,
    pub(super) gone: &'static str,
    pub(super) pause: &'static str,
    pub(super) open_command: &'static str,
}

/// What pages are called.
pub(super) struct MenuTexts {
    pub(super) operational: &'static str,
    pub(super) account: &'static str,
    pub(super) account_of: fn(&str) -> String,
    pub(super) dashboard: &'static str,
    pub(super) agents: &'static str,
    pub(super) subnuclei: &'static str,
    pub(super) integrations: &'static str,
    pub(super) usage: &'static str,
    pub(super) support: &'static str,
    pub(super) company: &'static str,
    pub(super) tickets: &'static str,
    pub(super) tenants: &'static str,
    pub(super) operations: &'static str,
    pub(super) aggregations: &'static str,
    pub(super) billing: &'static str,
    pub(super) audit: &'static str,
    pub(super) settings: &'static str,
}

/// Why there is no page.
pub(super) struct StopTexts {
    pub(super) missing: Said,
    pub(super) attempt_over: Said,
    pub(super) declined: Said,
    pub(super) bad_token: Said,
    pub(super) login_away: Said,
    pub(super) leaving: Said,
    pub(super) signed_out: Said,
    pub(super) session_over: Said,
    pub(super) sign_in: &'static str,
}

/// What went wrong.
pub(super) struct ErrorTexts {
    pub(super) wrong_request: Said,
    pub(super) forbidden: Said,
    pub(super) not_found: Said,
    pub(super) too_often: Said,
    pub(super) away: Said,
    pub(super) failed: Said,
    pub(super) again: &'static str,
    pub(super) home: &'static str,
    pub(super) wait: fn(u64) -> String,
}

impl ErrorTexts {
    /// What a status means.
    pub(super) fn of(&self, status: StatusCode) -> Said {
        match status {
            StatusCode::FORBIDDEN => self.forbidden,
            StatusCode::NOT_FOUND => self.not_found,
            StatusCode::TOO_MANY_REQUESTS => self.too_often,
            StatusCode::SERVICE_UNAVAILABLE => self.away,
            status if status.is_client_error() => self.wrong_request,
            _ => self.failed,
        }
    }
}

/// What is wrong with something that was typed.
pub(super) struct FaultTexts {
    pub(super) required: &'static str,
    pub(super) unknown: &'static str,
    pub(super) not_a_uuid: &'static str,
    pub(super) not_a_day: &'static str,
    pub(super) not_an_integer: &'static str,
    pub(super) out_of_range: fn(u32, u32) -> String,
    pub(super) too_long: fn(usize) -> String,
    pub(super) not_filled: fn(usize) -> String,
    pub(super) too_many_open: fn(i64) -> String,
    pub(super) bad_count: fn(usize, usize) -> String,
    pub(super) not_text: &'static str,
    pub(super) not_one_of: &'static str,
    pub(super) not_found: &'static str,
    pub(super) not_after: &'static str,
    pub(super) too_many_days: fn(i64) -> String,
    pub(super) not_over: &'static str,
    pub(super) not_held: &'static str,
    pub(super) bad_cursor: &'static str,
    pub(super) other: &'static str,
}

impl FaultTexts {
    /// What is wrong, in words.
    pub(super) fn of(&self, error: &FieldError) -> String {
        match error.fault {
            Fault::Required { .. } => self.required.to_owned(),
            Fault::Unknown => self.unknown.to_owned(),
            Fault::NotAUuid | Fault::NotAListOfUuids => self.not_a_uuid.to_owned(),
            Fault::NotADay => self.not_a_day.to_owned(),
            Fault::NotAnInteger => self.not_an_integer.to_owned(),
            Fault::OutOfRange { min, max } => (self.out_of_range)(min, max),
            Fault::TooLong { max } | Fault::NotALine { max } => (self.too_long)(max),
            Fault::TooManyOpen { max } => (self.too_many_open)(max),
            Fault::BadCount { min, max } => (self.bad_count)(min, max),
            Fault::NotText | Fault::NotUtf8 => self.not_text.to_owned(),
            Fault::NotFilled { max } => (self.not_filled)(max),
            Fault::NotOneOf { .. } => self.not_one_of.to_owned(),
            Fault::NotFound { .. } => self.not_found.to_owned(),
            Fault::NotAfter { .. } => self.not_after.to_owned(),
            Fault::TooManyDays { days } => (self.too_many_days)(days),
            Fault::NotOver { .. } => self.not_over.to_owned(),
            Fault::NotHeld { .. } => self.not_held.to_owned(),
            Fault::BadCursor => self.bad_cursor.to_owned(),
            _ => self.other.to_owned(),
        }
    }
}
