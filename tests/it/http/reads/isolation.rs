//! Tenant isolation stands in PostgreSQL itself, also where a query forgets to ask for it.

use painel::services::issuer::Role;
use painel_shared::stores::Stores;
use painel_tests::stack::with_stack;
use sqlx::{AssertSqlSafe, Row};

use super::{other_tenant, reads};

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

/// The tables that a tenant may read.
const READABLE: [&str; 11] = [
    "tenants",
    "tenant_users",
    "tenant_agents",
    "tenant_integrations",
    "tenant_usage_daily",
    "tenant_usage_totals",
    "incidents",
    "incident_tenants",
    "tickets",
    "ticket_messages",
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
                let mut as_tenant = db.begin().await.unwrap();
                let role =
                    "SELECT set_config('role', 'painel_tenant', true), set_config('painel.tenant_id', $1, true)";
                sqlx::query(role).bind(tenant.to_string()).execute(&mut *as_tenant).await.unwrap();
                let seen = ask(count("true")).fetch_one(&mut *as_tenant).await.unwrap();
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
            "SELECT * FROM find_member('demo-user-1-2')",
            "INSERT INTO incidents (id, severity, title) VALUES (gen_random_uuid(), 'info', 't')",
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
fn the_api_asks_under_the_two_roles_only() {
    with_stack(|stack| async move {
        // Of itself this role may read nothing; it may take the two roles.
        let role = format!("probe_{}", uuid::Uuid::new_v4().simple());
        let sql = format!(
            "CREATE ROLE {role} LOGIN NOINHERIT PASSWORD 'probe';
             GRANT painel_tenant, painel_internal TO {role};
             GRANT USAGE ON SCHEMA public TO {role};
             GRANT EXECUTE ON FUNCTION find_member(text) TO {role}"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&stack.stores.db.service()).await.unwrap();
        let (_, server) = stack.vars.text("PAINEL_DATABASE_URL").unwrap().rsplit_once('@').unwrap();
        let url = format!("postgres://{role}:probe@{server}");
        let vars = stack.vars.clone().overridden_by([("PAINEL_DATABASE_URL", url)]);
        let stores = Stores::from_vars(&vars).await.unwrap();
        let direct = sqlx::query("SELECT FROM tenants").execute(&stores.db.service()).await.unwrap_err();
        let code = direct.as_database_error().and_then(|error| error.code()).unwrap().into_owned();
        let client = stack.serve_on(stores.clone()).await;
        let own = client.with_token(Some(stack.issuer.token(Role::Tenant, Some(stack.example.tenant)).unwrap()));
        let mut answers = Vec::new();
        for path in reads(stack.example.tenant) {
            let asker = if path.starts_with("/tenant/") { &own } else { &client };
            answers.push((asker.get(&path).await.status.as_u16(), path));
        }
        stores.db.close().await;
        let sql = format!("GRANT {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&stack.stores.db.service()).await.unwrap();
        assert_eq!(code, "42501");
        for (status, path) in answers {
            assert_eq!(status, 200, "{path} is asked under another role");
        }
    });
}
