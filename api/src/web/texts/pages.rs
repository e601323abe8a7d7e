//! What each page says, a struct a page.

use crate::web::format::Format;

/// In every list.
pub(in crate::web) struct TableTexts {
    pub(in crate::web) all: &'static str,
    pub(in crate::web) filter: &'static str,
    pub(in crate::web) more_filters: &'static str,
    pub(in crate::web) set_filters: &'static str,
    /// Days, in UTC.
    pub(in crate::web) from_day: &'static str,
    pub(in crate::web) to_day: &'static str,
    pub(in crate::web) remove: &'static str,
    pub(in crate::web) clear_filters: &'static str,
    pub(in crate::web) nothing_fits: &'static str,
    /// A part of a list holds nothing, and there is more of it.
    pub(in crate::web) more_behind: &'static str,
    /// The first, the last, and how many there are.
    pub(in crate::web) range: fn(i64, i64, &str) -> String,
    /// How many are shown, and how many there are.
    pub(in crate::web) of_total: fn(usize, &str) -> String,
    pub(in crate::web) more_than: fn(&str) -> String,
    pub(in crate::web) pages: &'static str,
    pub(in crate::web) first: &'static str,
    pub(in crate::web) previous: &'static str,
    pub(in crate::web) next: &'static str,
    pub(in crate::web) as_of: fn(&str) -> String,
    pub(in crate::web) refresh: &'static str,
    pub(in crate::web) file: &'static str,
    /// At the end of a file that does not hold all.
    pub(in crate::web) cut_off: &'static str,
    pub(in crate::web) show_data: &'static str,
    pub(in crate::web) no_data: &'static str,
    pub(in crate::web) utc_days: &'static str,
    pub(in crate::web) chart_summary: fn([&str; 5]) -> String,
    pub(in crate::web) spark: fn([&str; 3]) -> String,
}

/// States of commands.
pub(in crate::web) struct StatusTexts {
    pub(in crate::web) pending: &'static str,
    pub(in crate::web) running: &'static str,
    pub(in crate::web) success: &'static str,
    pub(in crate::web) error: &'static str,
    /// Its message has died.
    pub(in crate::web) dead: &'static str,
}

/// A type of commands.
pub(in crate::web) struct KindTexts {
    pub(in crate::web) command_type: &'static str,
    pub(in crate::web) name: &'static str,
    /// What it does, in a sentence.
    pub(in crate::web) does: &'static str,
    /// What of that nobody can undo.
    pub(in crate::web) irreversible: &'static str,
    /// What a customer is told of one that took effect, and of one that did not.
    pub(in crate::web) done: &'static str,
    pub(in crate::web) not_done: &'static str,
}

/// The queues.
pub(in crate::web) struct QueueTexts {
    pub(in crate::web) queues: &'static str,
    pub(in crate::web) queue: &'static str,
    pub(in crate::web) waiting: &'static str,
    pub(in crate::web) in_flight: &'static str,
    pub(in crate::web) consumers: &'static str,
    pub(in crate::web) dead: &'static str,
    pub(in crate::web) oldest: &'static str,
    pub(in crate::web) look: fn(&str) -> String,
}

/// The dead jobs of a queue.
pub(in crate::web) struct DeadTexts {
    pub(in crate::web) title: &'static str,
    pub(in crate::web) intro: &'static str,
    pub(in crate::web) all: &'static str,
    pub(in crate::web) chosen: &'static str,
    pub(in crate::web) choose: &'static str,
    pub(in crate::web) died_at: &'static str,
    pub(in crate::web) none_chosen: &'static str,
    pub(in crate::web) of_runs: &'static str,
    pub(in crate::web) none: &'static str,
}

/// The commands' page.
pub(in crate::web) struct OperationsTexts {
    pub(in crate::web) send: &'static str,
    pub(in crate::web) views: &'static str,
    pub(in crate::web) all: &'static str,
    pub(in crate::web) pending: &'static str,
    pub(in crate::web) running: &'static str,
    pub(in crate::web) failed: &'static str,
    pub(in crate::web) dead: &'static str,
    pub(in crate::web) living: &'static str,
    pub(in crate::web) mine: &'static str,
    pub(in crate::web) created_by_id: &'static str,
    pub(in crate::web) command: &'static str,
    pub(in crate::web) status: &'static str,
    pub(in crate::web) tenant: &'static str,
    pub(in crate::web) tenant_id: &'static str,
    pub(in crate::web) created_at: &'static str,
    pub(in crate::web) created_by: &'static str,
    pub(in crate::web) duration: &'static str,
    pub(in crate::web) none: &'static str,
}

/// States and how grave things are.
pub(in crate::web) struct StatesTexts {
    pub(in crate::web) state: &'static str,
    pub(in crate::web) active: &'static str,
    pub(in crate::web) inactive: &'static str,
    pub(in crate::web) suspended: &'static str,
    pub(in crate::web) error: &'static str,
    pub(in crate::web) pending: &'static str,
    pub(in crate::web) active_ones: &'static str,
    pub(in crate::web) inactive_ones: &'static str,
    pub(in crate::web) suspended_ones: &'static str,
    pub(in crate::web) info: &'static str,
    pub(in crate::web) warning: &'static str,
    pub(in crate::web) critical: &'static str,
}

/// The customers' pages.
pub(in crate::web) struct TenantsTexts {
    pub(in crate::web) search: &'static str,
    pub(in crate::web) name: &'static str,
    pub(in crate::web) cnpj: &'static str,
    pub(in crate::web) segment: &'static str,
    pub(in crate::web) plan: &'static str,
    pub(in crate::web) mrr: &'static str,
    pub(in crate::web) agents: &'static str,
    pub(in crate::web) requests: &'static str,
    pub(in crate::web) requests_of_week: &'static str,
    pub(in crate::web) success: &'static str,
    pub(in crate::web) incidents: &'static str,
    pub(in crate::web) none: &'static str,
    pub(in crate::web) since: &'static str,
    pub(in crate::web) email: &'static str,
    pub(in crate::web) role: &'static str,
    pub(in crate::web) last_login: &'static str,
    pub(in crate::web) no_users: &'static str,
    pub(in crate::web) see_account: &'static str,
    pub(in crate::web) tabs: &'static str,
}

/// The audit log.
pub(in crate::web) struct AuditTexts {
    /// Types of events, as they are stored and as they are called.
    pub(in crate::web) events: [(&'static str, &'static str); 11],
    pub(in crate::web) ticket: &'static str,
    pub(in crate::web) account: &'static str,
    pub(in crate::web) event: &'static str,
    pub(in crate::web) when: &'static str,
    pub(in crate::web) who: &'static str,
    pub(in crate::web) what: &'static str,
    pub(in crate::web) outcome: &'static str,
    pub(in crate::web) from: &'static str,
    pub(in crate::web) user_id: &'static str,
    pub(in crate::web) none: &'static str,
    pub(in crate::web) shown: fn(usize) -> String,
}

/// The rollup runs.
pub(in crate::web) struct AggregationsTexts {
    pub(in crate::web) ask: &'static str,
    pub(in crate::web) asked: &'static str,
    pub(in crate::web) intro: &'static str,
    pub(in crate::web) from: &'static str,
    pub(in crate::web) to: &'static str,
    pub(in crate::web) day: &'static str,
    pub(in crate::web) requests: &'static str,
    pub(in crate::web) rows: &'static str,
    pub(in crate::web) finished: &'static str,
    pub(in crate::web) error: &'static str,
    pub(in crate::web) none: &'static str,
    pub(in crate::web) shown: fn(usize) -> String,
}

/// Agents.
pub(in crate::web) struct AgentsTexts {
    pub(in crate::web) agent: &'static str,
    pub(in crate::web) segment: &'static str,
    pub(in crate::web) since: &'static str,
    pub(in crate::web) requests: &'static str,
    pub(in crate::web) all_requests: &'static str,
    pub(in crate::web) success: &'static str,
    pub(in crate::web) average: &'static str,
    pub(in crate::web) last_request: &'static str,
    pub(in crate::web) restart: &'static str,
    pub(in crate::web) none: &'static str,
    pub(in crate::web) shown: fn(usize) -> String,
}

/// The agents that can be rented.
pub(in crate::web) struct CatalogueTexts {
    pub(in crate::web) none: &'static str,
}

/// What the customers have connected.
pub(in crate::web) struct ConnectionsTexts {
    pub(in crate::web) matrix: &'static str,
    pub(in crate::web) search: &'static str,
    pub(in crate::web) none: &'static str,
}

/// Agents by segment.
pub(in crate::web) struct SubnucleiTexts {
    pub(in crate::web) summary: fn(usize, usize, &str, &str) -> String,
}

/// Integrations.
pub(in crate::web) struct IntegrationsTexts {
    pub(in crate::web) integration: &'static str,
    pub(in crate::web) kind: &'static str,
    pub(in crate::web) synced: &'static str,
    pub(in crate::web) error: &'static str,
    pub(in crate::web) fingerprint: &'static str,
    pub(in crate::web) rotated: &'static str,
    pub(in crate::web) reset: &'static str,
    pub(in crate::web) pending: &'static str,
    pub(in crate::web) broken: &'static str,
    pub(in crate::web) none_broken: &'static str,
    pub(in crate::web) none: &'static str,
    pub(in crate::web) shown: fn(usize) -> String,
}

/// Incidents.
pub(in crate::web) struct SupportTexts {
    pub(in crate::web) incidents: &'static str,
    pub(in crate::web) incident: &'static str,
    pub(in crate::web) severity: &'static str,
    pub(in crate::web) began: &'static str,
    pub(in crate::web) resolved: &'static str,
    pub(in crate::web) open: &'static str,
    pub(in crate::web) description: &'static str,
    pub(in crate::web) none: &'static str,
}

/// What customers ask.
pub(in crate::web) struct TicketsTexts {
    pub(in crate::web) tickets: &'static str,
    pub(in crate::web) all: &'static str,
    pub(in crate::web) open: &'static str,
    pub(in crate::web) subject: &'static str,
    pub(in crate::web) message: &'static str,
    pub(in crate::web) message_hint: &'static str,
    pub(in crate::web) messages: &'static str,
    pub(in crate::web) opened_by: &'static str,
    pub(in crate::web) opened_at: &'static str,
    pub(in crate::web) updated_at: &'static str,
    pub(in crate::web) waiting: &'static str,
    pub(in crate::web) answered: &'static str,
    pub(in crate::web) closed: &'static str,
    pub(in crate::web) open_ones: &'static str,
    pub(in crate::web) answered_ones: &'static str,
    pub(in crate::web) closed_ones: &'static str,
    pub(in crate::web) none: &'static str,
    pub(in crate::web) operators: &'static str,
    pub(in crate::web) write: &'static str,
    pub(in crate::web) answer: &'static str,
    pub(in crate::web) close: &'static str,
    pub(in crate::web) close_too: &'static str,
    pub(in crate::web) written: &'static str,
}

/// What was used.
pub(in crate::web) struct UsageTexts {
    pub(in crate::web) period: &'static str,
    pub(in crate::web) week: &'static str,
    pub(in crate::web) month: &'static str,
    pub(in crate::web) quarter: &'static str,
    pub(in crate::web) requests: &'static str,
    pub(in crate::web) success: &'static str,
    pub(in crate::web) successful: &'static str,
    pub(in crate::web) failed: &'static str,
    pub(in crate::web) p50: &'static str,
    pub(in crate::web) p95: &'static str,
    pub(in crate::web) p99: &'static str,
    pub(in crate::web) tokens: &'static str,
    pub(in crate::web) failed_of: fn(&str) -> String,
    /// How much more or less than in the period before.
    pub(in crate::web) than_before: fn(&str) -> String,
    pub(in crate::web) requests_by_day: &'static str,
    pub(in crate::web) times_by_day: &'static str,
    pub(in crate::web) by_day: &'static str,
    pub(in crate::web) by_agent: &'static str,
    pub(in crate::web) day: &'static str,
    pub(in crate::web) none: &'static str,
}

/// A tenant's account at a glance.
pub(in crate::web) struct DashboardTexts {
    pub(in crate::web) of: fn(&str) -> String,
    pub(in crate::web) users: &'static str,
    pub(in crate::web) requests_this_month: &'static str,
    pub(in crate::web) last_month: &'static str,
    pub(in crate::web) all_usage: &'static str,
    pub(in crate::web) operations: &'static str,
    pub(in crate::web) no_operations: &'static str,
    pub(in crate::web) open_incidents: &'static str,
}

/// All customers at a glance.
pub(in crate::web) struct CompanyTexts {
    pub(in crate::web) deployed: &'static str,
    pub(in crate::web) active_tenants: &'static str,
    pub(in crate::web) attention: &'static str,
    pub(in crate::web) failed_today: &'static str,
    pub(in crate::web) waiting_long: &'static str,
    pub(in crate::web) dead: &'static str,
    pub(in crate::web) open_tickets: &'static str,
    pub(in crate::web) what: &'static str,
    pub(in crate::web) how_many: &'static str,
    pub(in crate::web) none_failed: &'static str,
    pub(in crate::web) all_failed: &'static str,
    pub(in crate::web) incidents: &'static str,
    pub(in crate::web) no_incidents: &'static str,
    pub(in crate::web) hit: &'static str,
    pub(in crate::web) and_others: fn(&str, &str) -> String,
    pub(in crate::web) top_tenants: &'static str,
    pub(in crate::web) top_agents: &'static str,
}

/// What the customers pay.
pub(in crate::web) struct BillingTexts {
    pub(in crate::web) mrr: &'static str,
    pub(in crate::web) arr: &'static str,
    pub(in crate::web) average: &'static str,
    pub(in crate::web) new: &'static str,
    pub(in crate::web) expansion: &'static str,
    pub(in crate::web) contraction: &'static str,
    pub(in crate::web) churned: &'static str,
    pub(in crate::web) churn_rate: &'static str,
    pub(in crate::web) mrr_by_day: &'static str,
    pub(in crate::web) new_tenants: &'static str,
    pub(in crate::web) churned_tenants: &'static str,
    pub(in crate::web) movements: &'static str,
    pub(in crate::web) month: &'static str,
    pub(in crate::web) opening: &'static str,
    pub(in crate::web) closing: &'static str,
    pub(in crate::web) by_plan: &'static str,
    pub(in crate::web) by_segment: &'static str,
}

/// One command.
pub(in crate::web) struct CommandTexts {
    pub(in crate::web) sent: &'static str,
    pub(in crate::web) all: &'static str,
    pub(in crate::web) id: &'static str,
    pub(in crate::web) copy: &'static str,
    pub(in crate::web) error: &'static str,
    pub(in crate::web) result: &'static str,
    pub(in crate::web) parameters: &'static str,
    pub(in crate::web) timeline: &'static str,
    pub(in crate::web) no_events: &'static str,
    pub(in crate::web) reason: &'static str,
    pub(in crate::web) attempts: &'static str,
    pub(in crate::web) started_at: &'static str,
    pub(in crate::web) completed_at: &'static str,
    pub(in crate::web) requested: &'static str,
    pub(in crate::web) succeeded: &'static str,
    pub(in crate::web) failed: &'static str,
    pub(in crate::web) reprocessed: &'static str,
    pub(in crate::web) running: &'static str,
    pub(in crate::web) attempt_succeeded: &'static str,
    pub(in crate::web) attempt_failed: &'static str,
    pub(in crate::web) attempt_retried: &'static str,
    pub(in crate::web) attempt_released: &'static str,
    pub(in crate::web) attempt_lost: &'static str,
    pub(in crate::web) next_attempt_at: &'static str,
    pub(in crate::web) trace_id: &'static str,
    pub(in crate::web) attempt_of: fn(u32, u32) -> String,
}

/// Sending a command.
pub(in crate::web) struct SendTexts {
    pub(in crate::web) title: &'static str,
    pub(in crate::web) what: &'static str,
    pub(in crate::web) go_on: &'static str,
    pub(in crate::web) another: &'static str,
    pub(in crate::web) which_tenant: &'static str,
    pub(in crate::web) search: &'static str,
    pub(in crate::web) choose: &'static str,
    pub(in crate::web) queue: &'static str,
    pub(in crate::web) count: &'static str,
    pub(in crate::web) count_hint: &'static str,
    pub(in crate::web) optional: &'static str,
    pub(in crate::web) reason_hint: &'static str,
    pub(in crate::web) to_preview: &'static str,
    pub(in crate::web) preview_title: &'static str,
    pub(in crate::web) wrong: &'static str,
    pub(in crate::web) target: &'static str,
    pub(in crate::web) open: &'static str,
    pub(in crate::web) dead_now: &'static str,
    pub(in crate::web) would_move: &'static str,
    pub(in crate::web) would_be_skipped: &'static str,
    pub(in crate::web) would_stay: &'static str,
    pub(in crate::web) nothing_to_move: &'static str,
    pub(in crate::web) whole_queue: &'static str,
    pub(in crate::web) sent_already: &'static str,
    pub(in crate::web) customer_sees: &'static str,
    pub(in crate::web) dead_commands: &'static str,
    pub(in crate::web) last_used: &'static str,
    pub(in crate::web) last_hour: &'static str,
    pub(in crate::web) last_day: &'static str,
    pub(in crate::web) picked: fn(usize) -> String,
    pub(in crate::web) deed_of_many: fn(i64, Format) -> String,
    pub(in crate::web) seen_by: &'static str,
    pub(in crate::web) back: &'static str,
    pub(in crate::web) typed_wrong: &'static str,
    pub(in crate::web) deed: fn(&str, &str) -> String,
    pub(in crate::web) type_name: fn(&str) -> String,
    pub(in crate::web) type_number: fn(&str) -> String,
}

/// What somebody has chosen.
pub(in crate::web) struct SettingsTexts {
    pub(in crate::web) profile: &'static str,
    pub(in crate::web) name: &'static str,
    pub(in crate::web) administrator: &'static str,
    pub(in crate::web) support: &'static str,
    pub(in crate::web) customer: &'static str,
    pub(in crate::web) password: &'static str,
    pub(in crate::web) reading: &'static str,
    pub(in crate::web) language: &'static str,
    pub(in crate::web) zone: &'static str,
    pub(in crate::web) theme: &'static str,
    pub(in crate::web) system: &'static str,
    pub(in crate::web) light: &'static str,
    pub(in crate::web) dark: &'static str,
    pub(in crate::web) more: &'static str,
    pub(in crate::web) dense: &'static str,
    pub(in crate::web) live: &'static str,
    pub(in crate::web) interval: &'static str,
    pub(in crate::web) seconds: fn(u8) -> String,
    pub(in crate::web) shortcuts: &'static str,
    pub(in crate::web) save: &'static str,
    pub(in crate::web) saved: &'static str,
    pub(in crate::web) saved_here: &'static str,
}
