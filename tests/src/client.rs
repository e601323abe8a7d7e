//! A client of the API.

use std::time::Duration;

use painel::services::issuer::{Issuer, Role};
use painel_shared::ids::{IntegrationId, TenantId};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;

use crate::wait::eventually;

/// Where commands are.
pub const COMMANDS: &str = "/internal/operations/commands";

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null where it is no JSON.
    pub body: Value,
}

impl Answer {
    /// The fields that a problem names.
    pub fn fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().filter_map(|error| error["field"].as_str()).collect()
    }
}

/// A client with a token. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// The API's URL.
    pub url: String,
    token: Option<String>,
}

impl Client {
    /// A client with an administrator's token.
    pub fn new(url: String, issuer: &Issuer) -> Self {
        let token = issuer.token(Role::Admin, None).unwrap();
        Self { http: http(), url, token: Some(token) }
    }

    /// The same client without the connections that it has.
    pub fn on_a_new_connection(&self) -> Self {
        Self { http: http(), ..self.clone() }
    }

    /// The same client with another token, or none.
    pub fn with_token(&self, token: Option<String>) -> Self {
        Self { token, ..self.clone() }
    }

    /// A request that is still to be sent.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST` of a command.
    pub async fn post(&self, body: &Value) -> Answer {
        self.send(self.request(Method::POST, COMMANDS).json(body)).await
    }

    /// `POST` of a command under an idempotency key.
    pub async fn post_once(&self, body: &Value, key: &str) -> Answer {
        self.send(self.request(Method::POST, COMMANDS).json(body).header("Idempotency-Key", key)).await
    }

    /// The same, where the API may be away.
    pub async fn try_post_once(&self, body: &Value, key: &str) -> Option<Answer> {
        let request = self.request(Method::POST, COMMANDS).json(body).header("Idempotency-Key", key);
        let response = request.timeout(Duration::from_secs(5)).send().await.ok()?;
        let (status, headers) = (response.status(), response.headers().clone());
        Some(Answer { status, headers, body: response.json().await.ok()? })
    }

    /// Sends a command that must be accepted; its id.
    pub async fn accepted(&self, body: &Value) -> String {
        let answer = self.post(body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        answer.body["command_id"].as_str().unwrap().to_owned()
    }

    /// The command.
    pub async fn command(&self, id: &str) -> Value {
        let answer = self.get(&format!("{COMMANDS}/{id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body
    }

    /// The command once it stands in that status.
    pub async fn until(&self, id: &str, status: &str) -> Value {
        let what = format!("command {id} in {status}");
        eventually(&what, Duration::from_secs(40), || async {
            let command = self.command(id).await;
            (command["status"] == status).then_some(command)
        })
        .await
    }

    /// By which an integration's token is recognised, as its tenant's page shows it.
    pub async fn fingerprint(&self, tenant: TenantId, integration: IntegrationId) -> Value {
        let list = self.get(&format!("/tenant/integrations?tenant_id={tenant}")).await.body;
        let all = list["integrations"].as_array().unwrap();
        let own = all.iter().find(|one| one["id"] == integration.to_string()).unwrap();
        own["token_fingerprint"].clone()
    }
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap()
}
