//! The typed client for fronts: made from the description, compiled strictly, and run against the API.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use painel::services::issuer::Role;
use painel_shared::commands::HealthCheck;
use painel_tests::{stack::with_stack, tree};
use serde_json::{Value, json};

/// What npm installs is kept there.
const FOLDER: &str = "target/typescript";

fn client() -> PathBuf {
    tree::root().join("api/clients/typescript")
}

/// Runs a program in that folder; what it prints.
fn run(folder: &Path, program: &str, arguments: &[&str], vars: &[(&str, &str)]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).envs(vars.iter().copied()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; tests/run.sh installs it"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}:\n{out}\n{err}");
    out
}

/// A copy of the client beside what npm has installed.
fn copied() -> PathBuf {
    let folder = tree::root().join(FOLDER);
    let _ = fs::remove_dir_all(folder.join("src"));
    let _ = fs::remove_dir_all(folder.join("dist"));
    fs::create_dir_all(folder.join("src")).unwrap();
    for name in ["package.json", "tsconfig.json", "src/index.ts", "src/every-route.ts", "src/example.ts"] {
        fs::copy(client().join(name), folder.join(name)).unwrap();
    }
    folder
}

#[test]
fn the_typed_client_compiles_strictly_asks_every_route_and_sends_once() {
    with_stack(|stack| async move {
        let api = stack.serve().await;
        let folder = copied();
        run(&folder, "npm", &["run", "--silent", "generate"], &[("PAINEL_URL", &api.url)]);
        run(&folder, "npm", &["run", "--silent", "build"], &[]);
        let token = stack.issuer.token(Role::Admin, None).unwrap();
        let command = stack.send::<HealthCheck>(None, json!({})).await.id();
        let ticket: uuid::Uuid = sqlx::query_scalar("SELECT id FROM tickets WHERE tenant_id = $1 LIMIT 1")
            .bind(stack.example.tenant.uuid())
            .fetch_one(&stack.stores.db.service())
            .await
            .unwrap();
        let ids = json!({
            "tenant": stack.example.tenant, "agent": stack.example.agents[0], "command": command, "ticket": ticket,
        });
        let (url, ids) = (api.url.clone(), ids.to_string());
        // The API answers on this thread's runtime meanwhile.
        let example = tokio::task::spawn_blocking(move || {
            let vars = [("PAINEL_URL", url.as_str()), ("PAINEL_TOKEN", &token), ("PAINEL_IDS", &ids)];
            run(&folder, "node", &["dist/example.js"], &vars)
        });
        let told: Value = serde_json::from_str(&example.await.unwrap()).unwrap();
        assert_eq!(told["commands"][0], told["commands"][1], "one key makes one command");
        assert_eq!(told["replayed"], "true");
        let wrong = told["wrong"].as_array().unwrap();
        let codes: BTreeSet<_> =
            wrong.iter().map(|one| (one["field"].as_str().unwrap(), one["code"].as_str().unwrap())).collect();
        assert!(codes.contains(&("parameters.agent_id", "required")), "{codes:?}");
        // Every route of the description was asked; what an operator may not do is a tenant's.
        let statuses: BTreeMap<String, u16> = serde_json::from_value(told["statuses"].clone()).unwrap();
        let description = api.get("/openapi.json").await.body;
        let mut described = BTreeSet::new();
        for (path, methods) in description["paths"].as_object().unwrap() {
            described.extend(
                methods.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())),
            );
        }
        assert_eq!(statuses.keys().cloned().collect::<BTreeSet<_>>(), described);
        for (route, status) in statuses {
            let expected = match route.as_str() {
                "POST /tenant/tickets" | "POST /tenant/tickets/{ticket_id}/messages" => 403,
                // These days are not held.
                "POST /internal/operations/aggregations" => 400,
                route if route.starts_with("POST /internal/tickets") => 201,
                "POST /internal/operations/commands" => 202,
                _ => 200,
            };
            assert_eq!(status, expected, "{route}");
        }
    });
}
