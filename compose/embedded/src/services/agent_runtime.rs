//! A stand-in for the agent runtime: remembers every restart in an append-only file.
//!
//! It keeps the runtime's promise that a key restarts once: the same key gets the same answer. For
//! trying out failures it can be told to refuse an agent's next restarts.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, HttpResponse, web};
use anyhow::Context;
use painel_shared::{
    ids::{AgentId, TenantId},
    time::{now, to_text},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How long a restart takes.
const RESTART_TIME: Duration = Duration::from_millis(50);
/// The generation of an agent that was never restarted.
const FIRST_GENERATION: u64 = 1;

/// The runtime.
pub struct AgentRuntime(Mutex<State>);

struct State {
    record: File,
    agents: HashMap<Agent, AgentRecord>,
    restarts: HashMap<String, Restart>,
    calls: u64,
}

type Agent = (TenantId, AgentId);

#[derive(Clone, Copy)]
struct AgentRecord {
    generation: u64,
    running_from: Instant,
    refusals: u32,
}

/// A line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Restart {
    key: String,
    tenant_id: TenantId,
    agent_id: AgentId,
    previous_generation: u64,
    target_generation: u64,
    at: String,
}

/// How often an agent's restart is to be refused.
#[derive(Debug, Deserialize)]
pub struct Refusals {
    refusals: u32,
}

impl AgentRuntime {
    /// The runtime whose restarts are in that file, which is made where it is missing.
    pub fn open(file: &Path) -> anyhow::Result<Self> {
        let record = OpenOptions::new().create(true).append(true).read(true).open(file);
        let record = record.with_context(|| format!("{} cannot be written", file.display()))?;
        let text = fs::read_to_string(file)?;
        // A last line cut short by a crash was never answered, so it is no restart.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        record.set_len(u64::try_from(whole)?)?;
        let mut state = State { record, agents: HashMap::new(), restarts: HashMap::new(), calls: 0 };
        for line in text.get(..whole).unwrap_or_default().lines() {
            let restart = serde_json::from_str(line)
                .with_context(|| format!("{} holds a line that is no restart: {line}", file.display()))?;
            state.apply(restart);
        }
        Ok(Self(Mutex::new(state)))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn agent(&mut self, agent: Agent) -> &mut AgentRecord {
        self.agents.entry(agent).or_insert_with(|| AgentRecord {
            generation: FIRST_GENERATION,
            running_from: Instant::now(),
            refusals: 0,
        })
    }

    fn apply(&mut self, restart: Restart) {
        let record = self.agent((restart.tenant_id, restart.agent_id));
        record.generation = restart.target_generation;
        self.restarts.insert(restart.key.clone(), restart);
    }

    /// The restart of that key: the one there was, or a new one, written down before it is answered.
    fn restart(&mut self, agent: Agent, key: &str) -> anyhow::Result<Option<Restart>> {
        self.calls += 1;
        if let Some(known) = self.restarts.get(key) {
            return Ok(Some(known.clone()));
        }
        let record = self.agent(agent);
        if record.refusals > 0 {
            record.refusals -= 1;
            return Ok(None);
        }
        let restart = Restart {
            key: key.to_owned(),
            tenant_id: agent.0,
            agent_id: agent.1,
            previous_generation: record.generation,
            target_generation: record.generation + 1,
            at: to_text(now()),
        };
        let line = format!("{}\n", serde_json::to_string(&restart)?);
        self.record.write_all(line.as_bytes())?;
        self.apply(restart.clone());
        self.agent(agent).running_from = Instant::now() + RESTART_TIME;
        Ok(Some(restart))
    }
}

/// `POST /tenants/{tenant}/agents/{agent}/restart`.
pub async fn restart(
    request: HttpRequest,
    runtime: web::Data<AgentRuntime>,
    agent: web::Path<Agent>,
) -> HttpResponse {
    let Some(key) = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok()) else {
        return HttpResponse::BadRequest().json(json!({"message": "Idempotency-Key is required"}));
    };
    match runtime.state().restart(agent.into_inner(), key) {
        Ok(Some(restart)) => HttpResponse::Accepted().json(restart),
        Ok(None) => HttpResponse::ServiceUnavailable().json(json!({"message": "told to refuse"})),
        Err(error) => {
            tracing::error!(%error, "the restart was not written down");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// `GET /tenants/{tenant}/agents/{agent}`.
pub async fn show(runtime: web::Data<AgentRuntime>, agent: web::Path<Agent>) -> HttpResponse {
    let record = *runtime.state().agent(agent.into_inner());
    let running = record.running_from <= Instant::now();
    let state = if running { "running" } else { "restarting" };
    HttpResponse::Ok().json(json!({"state": state, "generation": record.generation}))
}

/// `GET /calls`: how often a restart was asked for since this start, refused and repeated ones included.
pub async fn calls(runtime: web::Data<AgentRuntime>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"calls": runtime.state().calls}))
}

/// `POST /tenants/{tenant}/agents/{agent}/refusals` {refusals}: that many restarts are refused.
pub async fn refuse(
    runtime: web::Data<AgentRuntime>,
    agent: web::Path<Agent>,
    body: web::Json<Refusals>,
) -> HttpResponse {
    runtime.state().agent(agent.into_inner()).refusals = body.refusals;
    HttpResponse::NoContent().finish()
}
