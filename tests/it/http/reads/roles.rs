//! Every endpoint, asked by everybody.

use painel::services::issuer::Role;
use painel_tests::stack::with_stack;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{other_tenant, reads};

/// What each asker is answered: nobody, the tenant's user, another tenant's user, support, an administrator.
fn expected(path: &str) -> [u16; 5] {
    match path {
        path if path.starts_with("/tenant/") => [401, 200, 403, 200, 200],
        "/profile" => [401, 200, 200, 200, 200],
        "/internal/billing/overview" => [401, 403, 403, 403, 200],
        _ => [401, 403, 403, 200, 200],
    }
}

#[test]
fn every_endpoint_answers_each_role_as_it_should() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let token = |role, tenant| Some(stack.issuer.token(role, tenant).unwrap());
        let askers = [
            None,
            token(Role::Tenant, Some(stack.example.tenant)),
            token(Role::Tenant, Some(other_tenant(stack).await)),
            token(Role::Support, None),
            token(Role::Admin, None),
        ];
        for path in reads(stack.example.tenant) {
            for (asker, status) in askers.iter().zip(expected(&path)) {
                let answer = client.with_token(asker.clone()).get(&path).await;
                assert_eq!(answer.status, status, "{path} asked with {asker:?}: {}", answer.body);
                if status != 200 {
                    assert_eq!(answer.headers["content-type"], "application/problem+json", "{path}");
                    assert!(!answer.body.to_string().contains("Padaria"), "{path}: the refusal names the tenant");
                }
            }
        }
    });
}

#[test]
fn a_tenant_asks_about_itself_and_an_operator_must_say_about_whom() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let own = client.with_token(Some(stack.issuer.token(Role::Tenant, Some(stack.example.tenant)).unwrap()));
        for name in ["me", "agents", "integrations", "usage", "incidents", "operations", "tickets"] {
            assert_eq!(own.get(&format!("/tenant/{name}")).await.status, 200, "{name}");
            let unsaid = client.get(&format!("/tenant/{name}")).await;
            assert_eq!((unsaid.status.as_u16(), unsaid.fields()), (400, vec!["tenant_id"]), "{name}");
            let nobody = client.get(&format!("/tenant/{name}?tenant_id={}", Uuid::new_v4())).await;
            assert_eq!(nobody.status, 404, "{name}");
        }
        assert_eq!(own.get("/tenant/me").await.body["id"], stack.example.tenant.to_string());
    });
}

#[test]
fn an_object_of_another_tenant_is_answered_like_one_that_does_not_exist() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let own = client.with_token(Some(stack.issuer.token(Role::Tenant, Some(stack.example.tenant)).unwrap()));
        let foreign: Uuid = sqlx::query_scalar(
            "SELECT agent_id FROM tenant_agents
             WHERE agent_id NOT IN (SELECT agent_id FROM tenant_agents WHERE tenant_id = $1) LIMIT 1",
        )
        .bind(stack.example.tenant.uuid())
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap();
        let without_ids = |mut body: Value| {
            body["request_id"].take();
            body
        };
        let of_another = own.get(&format!("/tenant/usage?agent_id={foreign}")).await;
        let of_nobody = own.get(&format!("/tenant/usage?agent_id={}", Uuid::new_v4())).await;
        assert_eq!((of_another.status.as_u16(), of_nobody.status.as_u16()), (404, 404));
        assert_eq!(without_ids(of_another.body), without_ids(of_nobody.body));
    });
}

/// What each asker of the table above is answered, by verb and route; everybody who is not in it must be thought about.
fn answered(verb: &str, route: &str) -> [u16; 5] {
    match (verb, route) {
        ("get", "/health" | "/health/live" | "/health/ready") => [200; 5],
        ("get", "/internal/billing/overview") => [401, 403, 403, 403, 200],
        ("get", "/profile") | ("put", "/profile/preferences") => [401, 200, 200, 200, 200],
        ("post", "/internal/operations/commands/preview") => [401, 403, 403, 200, 200],
        ("get", route) if route.starts_with("/tenant/") => [401, 200, 403, 200, 200],
        ("get", route) if route.starts_with("/internal/") => [401, 403, 403, 200, 200],
        ("post", "/internal/operations/commands" | "/internal/operations/aggregations") => {
            [401, 403, 403, 202, 202]
        }
        // Each tenant's user opens its own.
        ("post", "/tenant/tickets") => [401, 201, 201, 403, 403],
        ("post", "/tenant/tickets/{ticket_id}/messages") => [401, 201, 404, 403, 403],
        ("post", "/internal/tickets/{ticket_id}/messages") => [401, 403, 403, 201, 201],
        _ => panic!("nobody has said who may {verb} {route}"),
    }
}

#[test]
fn every_verb_of_every_route_answers_each_role_as_it_should() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant;
        let token = |role, tenant| Some(stack.issuer.token(role, tenant).unwrap());
        let askers = [
            None,
            token(Role::Tenant, Some(tenant)),
            token(Role::Tenant, Some(other_tenant(stack).await)),
            token(Role::Support, None),
            token(Role::Admin, None),
        ];
        let command = client.accepted(&json!({"command_type": "HEALTH_CHECK"})).await;
        let ticket: Uuid = sqlx::query_scalar("SELECT id FROM tickets WHERE tenant_id = $1 LIMIT 1")
            .bind(tenant.uuid())
            .fetch_one(&stack.stores.db.service())
            .await
            .unwrap();
        let yesterday = chrono::Utc::now().date_naive() - chrono::Days::new(1);
        let description = client.get("/openapi.json").await.body;
        let mut asked = 0;
        for (route, verbs) in description["paths"].as_object().unwrap() {
            let path = route
                .replace("{id}", &tenant.to_string())
                .replace("{command_id}", &command)
                .replace("{ticket_id}", &ticket.to_string());
            let of_tenant = |verb: &str| match path.starts_with("/tenant/") && verb == "get" {
                true => format!("{path}?tenant_id={tenant}"),
                false => path.clone(),
            };
            let described: Vec<&str> = verbs.as_object().unwrap().keys().map(String::as_str).collect();
            for verb in &described {
                let path = of_tenant(verb);
                for (asker, status) in askers.iter().zip(answered(verb, route)) {
                    let asker = client.with_token(asker.clone());
                    let verb = Method::from_bytes(verb.to_uppercase().as_bytes()).unwrap();
                    let body = match route.as_str() {
                        "/profile/preferences" => json!({
                            "language": "en", "zone": "UTC", "theme": "dark", "dense": true, "live": true,
                            "shortcuts": false,
                        }),
                        "/internal/operations/commands" | "/internal/operations/commands/preview" => {
                            json!({"command_type": "HEALTH_CHECK"})
                        }
                        "/tenant/tickets" => json!({"subject": "a", "message": "b"}),
                        route if route.ends_with("/messages") => json!({"message": "b"}),
                        _ => json!({"from": yesterday, "to": yesterday}),
                    };
                    let request = asker.request(verb.clone(), &path);
                    let request =
                        if verb == Method::POST || verb == Method::PUT { request.json(&body) } else { request };
                    let answer = asker.send(request).await;
                    assert_eq!(answer.status, status, "{verb} {path}: {}", answer.body);
                    if verb == Method::GET {
                        let head = asker.send(asker.request(Method::HEAD, &path)).await;
                        assert_eq!(head.status, status, "HEAD {path}");
                    }
                    asked += 1;
                }
            }
            for verb in [Method::PUT, Method::PATCH, Method::DELETE, Method::POST] {
                if !described.contains(&verb.as_str().to_lowercase().as_str()) {
                    let answer = client.send(client.request(verb.clone(), &path)).await;
                    assert!(matches!(answer.status.as_u16(), 404 | 405), "{verb} {path}: {}", answer.status);
                }
            }
        }
        assert!(asked >= 16 * askers.len(), "only {asked} were asked");
    });
}
