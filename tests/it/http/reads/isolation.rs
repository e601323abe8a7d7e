//! Tenant isolation stands in PostgreSQL itself, also where a query forgets to ask for it.

use painel_tests::stack::with_stack;
use sqlx::Row;

use super::other_tenant;

/// The tables that hold rows of tenants, from PostgreSQL's own catalogue.
const OF_TENANTS: &str = "
    SELECT c.relname::text AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced,
           (SELECT count(*) FROM pg_policy p
            WHERE p.polrelid = c.oid AND p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL
              AND (SELECT oid FROM pg_roles WHERE rolname = 'painel_tenant') = ANY (p.polroles)) AS policies
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
      AND (c.relname IN ('tenants', 'incidents')
           OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id'))";

#[test]
fn every_table_with_rows_of_tenants_has_a_policy_that_is_forced() {
    with_stack(|stack| async move {
        let tables = sqlx::query(OF_TENANTS).fetch_all(&stack.stores.db.service()).await.unwrap();
        assert!(tables.len() >= 10, "only {} tables were looked at", tables.len());
        for table in tables {
            let (name, forced, policies): (String, bool, i64) = (table.get(0), table.get(1), table.get(2));
            assert!(forced, "{name}: row level security is not forced");
            assert_eq!(policies, 1, "{name}: a tenant's rows are not fenced in");
        }
    });
}

/// The tables that a tenant's scope may read.
const READABLE: [&str; 8] = [
    "tenants",
    "tenant_users",
    "tenant_agents",
    "tenant_integrations",
    "tenant_usage_daily",
    "incidents",
    "incident_tenants",
    "plans",
];

#[test]
fn a_query_that_forgets_the_tenant_sees_its_rows_all_the_same_and_no_others() {
    with_stack(|stack| async move {
        let db = &stack.stores.db;
        for tenant in [stack.example.tenant, other_tenant(stack).await] {
            for table in READABLE {
                let count = |whose: &str| format!("SELECT count(*) FROM {table} AS t WHERE {whose}");
                let own = match table {
                    "tenants" => format!("t.id = '{tenant}'"),
                    "incidents" => {
                        format!(
                            "EXISTS (SELECT FROM incident_tenants h WHERE h.incident_id = t.id AND h.tenant_id = '{tenant}')"
                        )
                    }
                    "plans" => "true".to_owned(),
                    _ => format!("t.tenant_id = '{tenant}'"),
                };
                let ask = |sql: String| sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql));
                let all = ask(count("true")).fetch_one(&db.service()).await.unwrap();
                let mine = ask(count(&own)).fetch_one(&db.service()).await.unwrap();
                let mut scope = db.tenant_scope(tenant).await.unwrap();
                let seen = ask(count("true")).fetch_one(scope.connection()).await.unwrap();
                assert_eq!(seen, mine, "{table}");
                assert!(mine > 0 && (mine < all || table == "plans"), "{table}: {mine} of {all} prove nothing");
            }
        }
    });
}

#[test]
fn without_a_tenant_the_tenants_role_sees_nothing_and_it_may_change_nothing() {
    with_stack(|stack| async move {
        let database = &stack.stores.db;
        for table in READABLE.iter().filter(|table| **table != "plans") {
            let mut transaction = database.begin().await.unwrap();
            sqlx::query("SET LOCAL ROLE painel_tenant").execute(&mut *transaction).await.unwrap();
            let sql = format!("SELECT count(*) FROM {table}");
            let seen: i64 =
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut *transaction).await.unwrap();
            assert_eq!(seen, 0, "{table}");
        }
        let forbidden = [
            "SELECT credentials FROM tenant_integrations",
            "SELECT * FROM tenant_integrations",
            "SELECT * FROM agent_requests",
            "SELECT * FROM operational_events",
            "SELECT * FROM subscription_events",
            "SELECT * FROM command_effects",
            "SELECT * FROM find_member('demo-user-1-1')",
            "INSERT INTO incidents (id, severity, title) VALUES (gen_random_uuid(), 'low', 't')",
            "UPDATE tenants SET name = 'n'",
            "DELETE FROM tenant_users",
        ];
        for statement in forbidden {
            let mut transaction = database.begin().await.unwrap();
            sqlx::query("SET LOCAL ROLE painel_tenant").execute(&mut *transaction).await.unwrap();
            let refused = sqlx::query(statement).execute(&mut *transaction).await.unwrap_err();
            let code = refused.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned();
            assert_eq!(code, "42501", "{statement}: {refused}");
        }
    });
}

#[test]
fn a_scope_leaves_nothing_behind_on_its_connection() {
    with_stack(|stack| async move {
        let db = &stack.stores.db;
        for _ in 0..20 {
            drop(db.tenant_scope(stack.example.tenant).await.unwrap());
            let (role, tenant): (String, Option<String>) =
                sqlx::query_as("SELECT current_user::text, NULLIF(current_setting('painel.tenant_id', true), '')")
                    .fetch_one(&db.service())
                    .await
                    .unwrap();
            assert_ne!(role, "painel_tenant");
            assert_eq!(tenant, None);
        }
    });
}

#[test]
fn the_api_asks_in_scopes_only() {
    let api = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/src");
    let mut folders = vec![api];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains(".service()"), "{} goes past the scopes", path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} files were read");
}
