//! The panel's reads: their shapes, their figures, who may see them, and how long they are kept.

mod caching;
mod exchanges;
mod figures;
mod isolation;
mod limits;
mod openapi;
mod oracle;
mod roles;
mod shapes;

use painel_shared::ids::TenantId;
use painel_tests::{client::Client, stack::Stack};
use serde_json::Value;
use sqlx::postgres::PgArguments;

/// Every read, with the parameters that an operator needs.
pub(super) fn reads(tenant: TenantId) -> Vec<String> {
    let of_tenant = ["me", "agents", "integrations", "usage", "incidents", "operations", "tickets"];
    let mut all: Vec<String> = of_tenant.iter().map(|name| format!("/tenant/{name}?tenant_id={tenant}")).collect();
    all.extend([
        "/profile".to_owned(),
        "/internal/tenants".to_owned(),
        format!("/internal/tenants/{tenant}"),
        format!("/internal/tenants/{tenant}/agents"),
        "/internal/usage/overview".to_owned(),
        "/internal/billing/overview".to_owned(),
        "/internal/agents".to_owned(),
        "/internal/integrations".to_owned(),
        "/internal/incidents".to_owned(),
        "/internal/tickets".to_owned(),
        "/internal/operations/commands".to_owned(),
        "/internal/operations/aggregations".to_owned(),
        "/internal/operations/events".to_owned(),
        "/internal/operations/queues".to_owned(),
    ]);
    all
}

/// The body of an answer that must be there.
async fn body(client: &Client, path: &str) -> Value {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// Another tenant than the example's.
pub(super) async fn other_tenant(stack: &Stack) -> TenantId {
    let id: uuid::Uuid =
        sqlx::query_scalar("SELECT id FROM tenants WHERE id <> $1 AND status = 'active' ORDER BY name")
            .bind(stack.example.tenant.uuid())
            .fetch_one(&stack.stores.db.service())
            .await
            .unwrap();
    id.into()
}

/// Runs a statement as the service.
async fn run(stack: &Stack, query: sqlx::query::Query<'_, sqlx::Postgres, PgArguments>) {
    query.execute(&stack.stores.db.service()).await.unwrap();
}
