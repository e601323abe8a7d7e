//! The panel as people see it.

mod files;
mod forms;
mod login;
mod pages;
mod templates;
mod windows;

use painel_tests::stack::Stack;
use uuid::Uuid;

/// Another tenant than the example.
async fn other_tenant(stack: &Stack) -> Uuid {
    sqlx::query_scalar("SELECT id FROM tenants WHERE id <> $1 AND status = 'active' ORDER BY id LIMIT 1")
        .bind(stack.example.tenant.uuid())
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap()
}

/// The name of a tenant.
async fn name_of(stack: &Stack, tenant: Uuid) -> String {
    sqlx::query_scalar("SELECT name FROM tenants WHERE id = $1")
        .bind(tenant)
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap()
}
