//! What the panel says: one struct of texts, a value for each language. A text that is missing, or said by nobody, does not
//! compile.

mod en;
mod pt;

use actix_web::http::StatusCode;
use painel_shared::commands::{Fault, FieldError};
use serde::{Deserialize, Serialize};

use super::format::Format;

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

/// In every list.
pub(super) struct TableTexts {
    pub(super) all: &'static str,
    pub(super) filter: &'static str,
    pub(super) more_filters: &'static str,
    pub(super) set_filters: &'static str,
    /// Days, in UTC.
    pub(super) from_day: &'static str,
    pub(super) to_day: &'static str,
    pub(super) remove: &'static str,
    pub(super) clear_filters: &'static str,
    pub(super) nothing_fits: &'static str,
    /// The first, the last, and how many there are.
    pub(super) range: fn(i64, i64, &str) -> String,
    /// How many are shown, and how many there are.
    pub(super) of_total: fn(usize, &str) -> String,
    pub(super) more_than: fn(&str) -> String,
    pub(super) pages: &'static str,
    pub(super) first: &'static str,
    pub(super) previous: &'static str,
    pub(super) next: &'static str,
    pub(super) as_of: fn(&str) -> String,
    pub(super) refresh: &'static str,
    pub(super) file: &'static str,
    /// At the end of a file that does not hold all.
    pub(super) cut_off: &'static str,
    pub(super) show_data: &'static str,
    pub(super) no_data: &'static str,
    pub(super) utc_days: &'static str,
    pub(super) chart_summary: fn([&str; 5]) -> String,
}

/// States of commands.
pub(super) struct StatusTexts {
    pub(super) pending: &'static str,
    pub(super) running: &'static str,
    pub(super) success: &'static str,
    pub(super) error: &'static str,
    /// Its message has died.
    pub(super) dead: &'static str,
}

/// A type of commands.
pub(super) struct KindTexts {
    pub(super) command_type: &'static str,
    pub(super) name: &'static str,
    /// What it does, in a sentence.
    pub(super) does: &'static str,
    /// What of that nobody can undo.
    pub(super) irreversible: &'static str,
    /// What a customer is told of one that took effect, and of one that did not.
    pub(super) done: &'static str,
    pub(super) not_done: &'static str,
}

/// The queues.
pub(super) struct QueueTexts {
    pub(super) queues: &'static str,
    pub(super) queue: &'static str,
    pub(super) waiting: &'static str,
    pub(super) in_flight: &'static str,
    pub(super) consumers: &'static str,
    pub(super) dead: &'static str,
    pub(super) look: fn(&str) -> String,
}

/// The dead jobs of a queue.
pub(super) struct DeadTexts {
    pub(super) title: &'static str,
    pub(super) intro: &'static str,
    pub(super) all: &'static str,
    pub(super) chosen: &'static str,
    pub(super) choose: &'static str,
    pub(super) died_at: &'static str,
    pub(super) none: &'static str,
}

/// The commands' page.
pub(super) struct OperationsTexts {
    pub(super) send: &'static str,
    pub(super) views: &'static str,
    pub(super) all: &'static str,
    pub(super) pending: &'static str,
    pub(super) running: &'static str,
    pub(super) failed: &'static str,
    pub(super) dead: &'static str,
    pub(super) living: &'static str,
    pub(super) mine: &'static str,
    pub(super) created_by_id: &'static str,
    pub(super) command: &'static str,
    pub(super) status: &'static str,
    pub(super) tenant: &'static str,
    pub(super) tenant_id: &'static str,
    pub(super) created_at: &'static str,
    pub(super) created_by: &'static str,
    pub(super) duration: &'static str,
    pub(super) none: &'static str,
}

/// States and how grave things are.
pub(super) struct StatesTexts {
    pub(super) state: &'static str,
    pub(super) active: &'static str,
    pub(super) inactive: &'static str,
    pub(super) suspended: &'static str,
    pub(super) error: &'static str,
    pub(super) pending: &'static str,
    pub(super) active_ones: &'static str,
    pub(super) inactive_ones: &'static str,
    pub(super) suspended_ones: &'static str,
    pub(super) info: &'static str,
    pub(super) warning: &'static str,
    pub(super) critical: &'static str,
}

/// The customers' pages.
pub(super) struct TenantsTexts {
    pub(super) search: &'static str,
    pub(super) name: &'static str,
    pub(super) cnpj: &'static str,
    pub(super) segment: &'static str,
    pub(super) plan: &'static str,
    pub(super) mrr: &'static str,
    pub(super) agents: &'static str,
    pub(super) requests: &'static str,
    pub(super) requests_of_week: &'static str,
    pub(super) success: &'static str,
    pub(super) incidents: &'static str,
    pub(super) none: &'static str,
    pub(super) since: &'static str,
    pub(super) email: &'static str,
    pub(super) role: &'static str,
    pub(super) last_login: &'static str,
    pub(super) no_users: &'static str,
    pub(super) see_account: &'static str,
    pub(super) tabs: &'static str,
}

/// The audit log.
pub(super) struct AuditTexts {
    pub(super) event: &'static str,
    pub(super) when: &'static str,
    pub(super) who: &'static str,
    pub(super) what: &'static str,
    pub(super) outcome: &'static str,
    pub(super) from: &'static str,
    pub(super) user_id: &'static str,
    pub(super) none: &'static str,
    pub(super) shown: fn(usize) -> String,
}

/// The rollup runs.
pub(super) struct AggregationsTexts {
    pub(super) ask: &'static str,
    pub(super) asked: &'static str,
    pub(super) intro: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) day: &'static str,
    pub(super) requests: &'static str,
    pub(super) rows: &'static str,
    pub(super) finished: &'static str,
    pub(super) error: &'static str,
    pub(super) none: &'static str,
    pub(super) shown: fn(usize) -> String,
}

/// Agents.
pub(super) struct AgentsTexts {
    pub(super) agent: &'static str,
    pub(super) segment: &'static str,
    pub(super) since: &'static str,
    pub(super) requests: &'static str,
    pub(super) all_requests: &'static str,
    pub(super) success: &'static str,
    pub(super) average: &'static str,
    pub(super) last_request: &'static str,
    pub(super) restart: &'static str,
    pub(super) none: &'static str,
    pub(super) shown: fn(usize) -> String,
}

/// The agents that can be rented.
pub(super) struct CatalogueTexts {
    pub(super) none: &'static str,
}

/// What the customers have connected.
pub(super) struct ConnectionsTexts {
    pub(super) matrix: &'static str,
    pub(super) search: &'static str,
    pub(super) none: &'static str,
}

/// Agents by segment.
pub(super) struct SubnucleiTexts {
    pub(super) summary: fn(usize, usize, &str, &str) -> String,
}

/// Integrations.
pub(super) struct IntegrationsTexts {
    pub(super) integration: &'static str,
    pub(super) kind: &'static str,
    pub(super) synced: &'static str,
    pub(super) error: &'static str,
    pub(super) fingerprint: &'static str,
    pub(super) rotated: &'static str,
    pub(super) reset: &'static str,
    pub(super) pending: &'static str,
    pub(super) broken: &'static str,
    pub(super) none_broken: &'static str,
    pub(super) none: &'static str,
    pub(super) shown: fn(usize) -> String,
}

/// Incidents.
pub(super) struct SupportTexts {
    pub(super) incidents: &'static str,
    pub(super) incident: &'static str,
    pub(super) severity: &'static str,
    pub(super) began: &'static str,
    pub(super) resolved: &'static str,
    pub(super) open: &'static str,
    pub(super) description: &'static str,
    pub(super) none: &'static str,
}

/// What customers ask.
pub(super) struct TicketsTexts {
    pub(super) tickets: &'static str,
    pub(super) all: &'static str,
    pub(super) open: &'static str,
    pub(super) subject: &'static str,
    pub(super) message: &'static str,
    pub(super) message_hint: &'static str,
    pub(super) messages: &'static str,
    pub(super) opened_by: &'static str,
    pub(super) opened_at: &'static str,
    pub(super) updated_at: &'static str,
    pub(super) waiting: &'static str,
    pub(super) answered: &'static str,
    pub(super) closed: &'static str,
    pub(super) open_ones: &'static str,
    pub(super) answered_ones: &'static str,
    pub(super) closed_ones: &'static str,
    pub(super) none: &'static str,
    pub(super) operators: &'static str,
    pub(super) write: &'static str,
    pub(super) answer: &'static str,
    pub(super) close: &'static str,
    pub(super) close_too: &'static str,
    pub(super) written: &'static str,
}

/// What was used.
pub(super) struct UsageTexts {
    pub(super) period: &'static str,
    pub(super) week: &'static str,
    pub(super) month: &'static str,
    pub(super) quarter: &'static str,
    pub(super) requests: &'static str,
    pub(super) success: &'static str,
    pub(super) successful: &'static str,
    pub(super) failed: &'static str,
    pub(super) p50: &'static str,
    pub(super) p95: &'static str,
    pub(super) p99: &'static str,
    pub(super) tokens: &'static str,
    pub(super) failed_of: fn(&str) -> String,
    /// How much more or less than in the period before.
    pub(super) than_before: fn(&str) -> String,
    pub(super) requests_by_day: &'static str,
    pub(super) times_by_day: &'static str,
    pub(super) by_day: &'static str,
    pub(super) by_agent: &'static str,
    pub(super) day: &'static str,
    pub(super) none: &'static str,
}

/// A tenant's account at a glance.
pub(super) struct DashboardTexts {
    pub(super) of: fn(&str) -> String,
    pub(super) users: &'static str,
    pub(super) requests_this_month: &'static str,
    pub(super) last_month: &'static str,
    pub(super) all_usage: &'static str,
    pub(super) operations: &'static str,
    pub(super) no_operations: &'static str,
    pub(super) open_incidents: &'static str,
}

/// All customers at a glance.
pub(super) struct CompanyTexts {
    pub(super) deployed: &'static str,
    pub(super) active_tenants: &'static str,
    pub(super) failed: &'static str,
    pub(super) none_failed: &'static str,
    pub(super) all_failed: &'static str,
    pub(super) incidents: &'static str,
    pub(super) no_incidents: &'static str,
    pub(super) hit: &'static str,
    pub(super) and_others: fn(&str, &str) -> String,
    pub(super) top_tenants: &'static str,
    pub(super) top_agents: &'static str,
}

/// What the customers pay.
pub(super) struct BillingTexts {
    pub(super) mrr: &'static str,
    pub(super) arr: &'static str,
    pub(super) average: &'static str,
    pub(super) new: &'static str,
    pub(super) expansion: &'static str,
    pub(super) contraction: &'static str,
    pub(super) churned: &'static str,
    pub(super) churn_rate: &'static str,
    pub(super) mrr_by_day: &'static str,
    pub(super) new_tenants: &'static str,
    pub(super) churned_tenants: &'static str,
    pub(super) movements: &'static str,
    pub(super) month: &'static str,
    pub(super) opening: &'static str,
    pub(super) closing: &'static str,
    pub(super) by_plan: &'static str,
    pub(super) by_segment: &'static str,
}

/// One command.
pub(super) struct CommandTexts {
    pub(super) sent: &'static str,
    pub(super) all: &'static str,
    pub(super) id: &'static str,
    pub(super) copy: &'static str,
    pub(super) error: &'static str,
    pub(super) result: &'static str,
    pub(super) parameters: &'static str,
    pub(super) timeline: &'static str,
    pub(super) no_events: &'static str,
    pub(super) reason: &'static str,
    pub(super) attempts: &'static str,
    pub(super) started_at: &'static str,
    pub(super) completed_at: &'static str,
    pub(super) requested: &'static str,
    pub(super) succeeded: &'static str,
    pub(super) failed: &'static str,
    pub(super) reprocessed: &'static str,
    pub(super) running: &'static str,
    pub(super) attempt_succeeded: &'static str,
    pub(super) attempt_failed: &'static str,
    pub(super) attempt_retried: &'static str,
    pub(super) attempt_released: &'static str,
    pub(super) attempt_lost: &'static str,
    pub(super) next_attempt_at: &'static str,
    pub(super) trace_id: &'static str,
    pub(super) attempt_of: fn(u32, u32) -> String,
}

/// Sending a command.
pub(super) struct SendTexts {
    pub(super) title: &'static str,
    pub(super) what: &'static str,
    pub(super) go_on: &'static str,
    pub(super) another: &'static str,
    pub(super) which_tenant: &'static str,
    pub(super) search: &'static str,
    pub(super) choose: &'static str,
    pub(super) queue: &'static str,
    pub(super) count: &'static str,
    pub(super) count_hint: &'static str,
    pub(super) optional: &'static str,
    pub(super) reason_hint: &'static str,
    pub(super) to_preview: &'static str,
    pub(super) preview_title: &'static str,
    pub(super) wrong: &'static str,
    pub(super) target: &'static str,
    pub(super) open: &'static str,
    pub(super) dead_now: &'static str,
    pub(super) would_move: &'static str,
    pub(super) dead_commands: &'static str,
    pub(super) last_used: &'static str,
    pub(super) last_hour: &'static str,
    pub(super) last_day: &'static str,
    pub(super) picked: fn(usize) -> String,
    pub(super) deed_of_many: fn(i64, Format) -> String,
    pub(super) seen_by: &'static str,
    pub(super) back: &'static str,
    pub(super) typed_wrong: &'static str,
    pub(super) deed: fn(&str, &str) -> String,
    pub(super) type_name: fn(&str) -> String,
    pub(super) type_number: fn(&str) -> String,
}

/// What somebody has chosen.
pub(super) struct SettingsTexts {
    pub(super) profile: &'static str,
    pub(super) name: &'static str,
    pub(super) administrator: &'static str,
    pub(super) support: &'static str,
    pub(super) customer: &'static str,
    pub(super) password: &'static str,
    pub(super) reading: &'static str,
    pub(super) language: &'static str,
    pub(super) zone: &'static str,
    pub(super) theme: &'static str,
    pub(super) system: &'static str,
    pub(super) light: &'static str,
    pub(super) dark: &'static str,
    pub(super) more: &'static str,
    pub(super) dense: &'static str,
    pub(super) live: &'static str,
    pub(super) shortcuts: &'static str,
    pub(super) save: &'static str,
    pub(super) saved: &'static str,
}
