//! The client of the agent runtime, which runs the tenants' agents.
//!
//! ```text
//! POST /tenants/{tenant}/agents/{agent}/restart   Idempotency-Key: {command}
//!   202 {"previous_generation": 1, "target_generation": 2}   the same again under the same key
//! GET  /tenants/{tenant}/agents/{agent}
//!   200 {"state": "running", "generation": 2}
//! ```

use std::time::Duration;

use painel_shared::{
    config::ConfigError,
    ids::{AgentId, CommandId, TenantId},
};
use reqwest::{Client, RequestBuilder, StatusCode, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{config::AgentRuntimeConfig, handler::HandlerError};

/// How long it may take until a connection is made.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// A client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AgentRuntime {
    client: Client,
    url: String,
}

/// A restart that the runtime has begun.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Restart {
    /// The generation that ran before.
    pub previous_generation: u64,
    /// The generation that runs once the restart is done.
    pub target_generation: u64,
}

/// How an agent is.
#[derive(Clone, Copy, Debug)]
pub struct AgentState {
    /// Whether it runs.
    pub running: bool,
    /// How often it has been started.
    pub generation: u64,
}

#[derive(Deserialize)]
struct StateAnswer {
    state: String,
    generation: u64,
}

impl AgentRuntime {
    /// A client of the configured runtime.
    pub fn new(config: &AgentRuntimeConfig) -> Result<Self, ConfigError> {
        // What is asked over HTTPS is not answered from elsewhere.
        let client = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT_LIMIT);
        let client = client
            .timeout(config.call_limit)
            .build()
            .map_err(|error| ConfigError::new("PAINEL_AGENT_RUNTIME_URL", format!("cannot be used: {error}")))?;
        Ok(Self { client, url: config.url.clone() })
    }

    /// Asks for a restart; asked again under the same key, it is the same restart.
    pub async fn restart(&self, tenant: TenantId, agent: AgentId, key: CommandId) -> Result<Restart, HandlerError> {
        let url = format!("{}/restart", self.agent_url(tenant, agent));
        call(self.client.post(url).header("Idempotency-Key", key.to_string())).await
    }

    /// Asks how an agent is.
    pub async fn state(&self, tenant: TenantId, agent: AgentId) -> Result<AgentState, HandlerError> {
        let answer: StateAnswer = call(self.client.get(self.agent_url(tenant, agent))).await?;
        Ok(AgentState { running: answer.state == "running", generation: answer.generation })
    }

    fn agent_url(&self, tenant: TenantId, agent: AgentId) -> String {
        format!("{}/tenants/{tenant}/agents/{agent}", self.url)
    }
}

/// 404 and other refusals are permanent; overload, server errors and silence are worth another attempt.
async fn call<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, HandlerError> {
    let silent = |error: reqwest::Error| {
        HandlerError::retryable("agent_runtime_unavailable", "the agent runtime did not answer").because(error)
    };
    let response = request.send().await.map_err(silent)?;
    match response.status() {
        status if status.is_success() => response.json().await.map_err(silent),
        StatusCode::NOT_FOUND => {
            Err(HandlerError::permanent("agent_not_found", "the agent runtime does not know the agent"))
        }
        status
            if status.is_server_error()
                || matches!(
                    status,
                    StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT
                ) =>
        {
            Err(HandlerError::retryable(
                "agent_runtime_unavailable",
                format!("the agent runtime answered {status}"),
            ))
        }
        status => {
            Err(HandlerError::permanent("agent_runtime_refused", format!("the agent runtime answered {status}")))
        }
    }
}
