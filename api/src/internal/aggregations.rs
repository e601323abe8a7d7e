//! `/internal/operations/aggregations`: have days rolled up, and see how far that has come.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use chrono::{Days, NaiveDate};
use painel_shared::{
    commands::{Fault, Fields},
    db::Known,
    ids::TenantId,
    rollup::{Aggregation, RollupRun},
    statement,
    time::today,
};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    auth::Caller,
    cache::{CacheTag, Lifetime},
    figures::two_decimals,
    observe,
    openapi::{ReadProblems, WriteProblems},
    problem::ApiError,
    query::{After, List},
    read::{Asked, Query, Read},
    state::AppState,
    time::Time,
    write::Write,
};

/// The most days that one request may ask for.
const LONGEST: i64 = 366;
const PAGE: u32 = 50;
/// How long an answer is good on which every run has ended, and another one.
const SETTLED: Lifetime = Lifetime::Revalidated(Duration::from_secs(60));
const UNSETTLED: Lifetime = Lifetime::Revalidated(Duration::from_secs(1));

/// Which days are to be rolled up.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregationRequest {
    /// The first day, in UTC.
    pub(crate) from: NaiveDate,
    /// The last day, which must be over.
    pub(crate) to: NaiveDate,
    /// Only this tenant.
    pub(crate) tenant_id: Option<Uuid>,
}

/// A day's run.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[schema(as = Run)]
pub struct RunView {
    pub(crate) run_id: Uuid,
    pub(crate) day: NaiveDate,
    pub(crate) tenant_id: Option<Uuid>,
    /// `queued`, `running`, `succeeded` or `failed`.
    pub(crate) state: String,
    pub(crate) attempt: i32,
    pub(crate) max_attempts: i32,
    /// How many raw requests were read.
    pub(crate) rows_read: Option<i64>,
    /// How many rows of daily usage were written.
    pub(crate) groups_written: Option<i64>,
    pub(crate) duration_ms: Option<i64>,
    pub(crate) error: Option<String>,
    pub(crate) requested_by: Option<String>,
    pub(crate) created_at: Time,
    pub(crate) started_at: Option<Time>,
    pub(crate) finished_at: Option<Time>,
}

impl From<RollupRun> for RunView {
    fn from(run: RollupRun) -> Self {
        let signed = |number: Option<u64>| number.and_then(|number| i64::try_from(number).ok());
        Self {
            run_id: run.id.uuid(),
            day: run.day,
            tenant_id: run.tenant_id.map(TenantId::uuid),
            state: run.state.as_str().to_owned(),
            attempt: i32::try_from(run.attempt).unwrap_or(i32::MAX),
            max_attempts: i32::try_from(run.max_attempts).unwrap_or(i32::MAX),
            rows_read: signed(run.rows_read),
            groups_written: signed(run.groups_written),
            duration_ms: signed(run.duration_ms),
            error: run.error,
            requested_by: run.requested_by,
            created_at: run.created_at.into(),
            started_at: run.started_at.map(Time::from),
            finished_at: run.finished_at.map(Time::from),
        }
    }
}

/// The runs that were asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AcceptedRuns)]
pub struct Accepted {
    /// One a day, oldest day first; a day that had an open run keeps it.
    pub(crate) runs: Vec<RunView>,
    pub(crate) message: &'static str,
}

/// `POST`: 202 with a run a day; workers will execute them.
#[utoipa::path(
    post, path = "/internal/operations/aggregations", tag = "internal",
    request_body(content = AggregationRequest, example = json!({"from": "2026-01-01", "to": "2026-01-03"})),
    responses((status = 202, body = Accepted), WriteProblems),
)]
pub async fn create(write: Write) -> Result<HttpResponse, ApiError> {
    let Write { caller, object, request, state, place: _place } = write;
    let asked = read_body(&request, object, &caller)?;
    let runs = state.accept_aggregation(asked, observe::origin(&request)).await?;
    let runs = runs.into_iter().map(RunView::from).collect();
    Ok(HttpResponse::Accepted().json(Accepted { runs, message: "The days were accepted and will be rolled up." }))
}

pub(crate) fn read_body(
    request: &HttpRequest,
    body: Map<String, Value>,
    caller: &Caller,
) -> Result<Aggregation, ApiError> {
    let mut fields = Fields::of("", body);
    let (from, to) = (fields.required::<NaiveDate>("from"), fields.required::<NaiveDate>("to"));
    let tenant_id = fields.optional::<TenantId>("tenant_id");
    if let (Some(from), Some(to)) = (from, to) {
        if from > to {
            fields.refuse("from", Fault::NotAfter { other: "to" });
        } else if (to - from).num_days() >= LONGEST {
            fields.refuse("to", Fault::TooManyDays { days: LONGEST });
        }
        if to >= today() {
            fields.refuse("to", Fault::NotOver { latest: today() - Days::new(1) });
        }
    }
    let (from, to) = fields.finish(from.zip(to)).map_err(ApiError::Validation)?;
    Ok(Aggregation {
        from,
        to,
        tenant_id,
        requested_by: caller.sub.clone(),
        requested_by_email: caller.email.clone(),
        traceparent: observe::trace(request),
    })
}

/// A page of runs, and how far they have come.
#[derive(Debug, Serialize, ToSchema)]
pub struct Runs {
    /// Newest first.
    pub(crate) runs: Vec<RunView>,
    /// Of all runs that match, not of this page alone.
    pub(crate) progress: Progress,
    /// Where the next page begins; null on the last one.
    pub(crate) next_cursor: Option<String>,
}

/// How far the runs have come.
#[derive(Debug, Serialize, ToSchema)]
pub struct Progress {
    pub(crate) days_total: i64,
    pub(crate) days_done: i64,
    pub(crate) days_failed: i64,
    pub(crate) rows_read: i64,
    /// Of the runs that are done.
    pub(crate) rows_per_second: f64,
    /// At the pace so far; null where nothing is left, or nothing is done yet.
    pub(crate) eta_seconds: Option<f64>,
}

/// Which state of run is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RunStateFilter {
    /// Waits for a worker.
    Queued,
    /// Is being executed.
    Running,
    /// Equals a recount.
    Succeeded,
    /// Given up.
    Failed,
}

/// `GET`: the runs and their state.
#[utoipa::path(
    get, path = "/internal/operations/aggregations", tag = "internal",
    params(
        ("from" = Option<NaiveDate>, Query, description = "Only of this day and later ones."),
        ("to" = Option<NaiveDate>, Query, description = "Only of this day and earlier ones."),
        ("tenant_id" = Option<Uuid>, Query, description = "Only of this tenant alone."),
        ("state" = Option<RunStateFilter>, Query, description = "Only in this state."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "By default 50."),
        ("cursor" = Option<String>, Query, description = "The next_cursor of an earlier answer to the same question."),
    ),
    responses((status = 200, body = Runs), ReadProblems),
)]
pub async fn list(read: Read<RunsQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// A page of the runs that fit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunsQuery {
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    tenant: Option<Uuid>,
    state: Option<&'static str>,
    page: After,
}

statement!(
    RUNS: RunView =
        r#"SELECT id AS run_id, day, tenant_id, state, attempt, max_attempts, rows_read, groups_written, duration_ms,
                  error, requested_by, created_at AS "created_at: Time", started_at AS "started_at: Time",
                  finished_at AS "finished_at: Time"
           FROM rollup_runs
           WHERE ($1::date IS NULL OR day >= $1) AND ($2::date IS NULL OR day <= $2)
             AND ($3::uuid IS NULL OR tenant_id = $3) AND ($4::text IS NULL OR state = $4)
             AND ($5::uuid IS NULL OR
                  (created_at, day, id) < (SELECT created_at, day, id FROM rollup_runs WHERE id = $5))
           ORDER BY created_at DESC, day DESC, id DESC LIMIT $6"#,
    None::<NaiveDate>,
    None::<NaiveDate>,
    None::<Uuid>,
    None::<String>,
    None::<Uuid>,
    0,
);

statement!(RUN: Known = "SELECT id FROM rollup_runs WHERE id = $1", None::<Uuid>);

#[derive(FromRow)]
struct ProgressRow {
    total: i64,
    done: i64,
    failed: i64,
    rows: i64,
    rows_per_second: Option<f64>,
    eta_seconds: Option<f64>,
}

statement!(
    PROGRESS: ProgressRow =
        r#"SELECT count(*) AS "total!", count(*) FILTER (WHERE state = 'succeeded') AS "done!",
                  count(*) FILTER (WHERE state = 'failed') AS "failed!",
                  COALESCE(sum(rows_read), 0)::bigint AS "rows!",
                  sum(rows_read)::double precision * 1000 / NULLIF(sum(duration_ms) FILTER (WHERE state = 'succeeded'), 0)
                      AS rows_per_second,
                  avg(duration_ms::double precision) FILTER (WHERE state = 'succeeded') / 1000
                      * NULLIF(count(*) FILTER (WHERE state IN ('queued', 'running')), 0) AS eta_seconds
           FROM rollup_runs
           WHERE ($1::date IS NULL OR day >= $1) AND ($2::date IS NULL OR day <= $2)
             AND ($3::uuid IS NULL OR tenant_id = $3) AND ($4::text IS NULL OR state = $4)"#,
    None::<NaiveDate>,
    None::<NaiveDate>,
    None::<Uuid>,
    None::<String>,
);

impl Query for RunsQuery {
    type Answer = Runs;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let states = ["queued", "running", "succeeded", "failed"].map(|state| (state, state));
        let fields = asked.by_operator()?;
        let (from, to) = fields.days();
        let (tenant, state) = (fields.uuid("tenant_id"), fields.word("state", &states));
        let page = After::read(fields, PAGE, List::new("runs", &(from, to, tenant, state)));
        Ok(Self { from, to, tenant, state, page })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Runs
    }

    fn lifetime(answer: &Runs) -> Lifetime {
        let Progress { days_total, days_done, days_failed, .. } = answer.progress;
        if days_done + days_failed == days_total { SETTLED } else { UNSETTLED }
    }

    async fn compute(&self, state: &AppState) -> Result<Runs, ApiError> {
        let Self { from, to, tenant, state: wanted, page } = *self;
        let filter = [from.into(), to.into(), tenant.into(), wanted.into()];
        let [from, to, tenant, wanted] = filter.clone();
        let runs = RUNS.bind([from, to, tenant, wanted, page.after.into(), page.one_more().into()]);
        let batch = (RUN.bind([page.after.into()]), PROGRESS.bind(filter), runs);
        let (known, mut progress, mut runs) = state.stores.db.ask_as_operator(&batch).await?;
        page.check(&known)?;
        let next_cursor = page.cut(&mut runs, |run| run.run_id);
        let progress = progress.pop().ok_or_else(|| ApiError::Failed("runs were not counted".to_owned()))?;
        Ok(Runs { runs, progress: progress.into(), next_cursor })
    }
}

impl From<ProgressRow> for Progress {
    fn from(row: ProgressRow) -> Self {
        Self {
            days_total: row.total,
            days_done: row.done,
            days_failed: row.failed,
            rows_read: row.rows,
            rows_per_second: row.rows_per_second.map_or(0.0, two_decimals),
            eta_seconds: row.eta_seconds.map(two_decimals),
        }
    }
}
