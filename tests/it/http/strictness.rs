//! Everything that comes from outside is read strictly: a row a field and kind.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::Days;
use jsonwebtoken::jwk::{KeyOperations, PublicKeyUse};
use painel::services::issuer::ISSUER;
use painel_shared::time::today;
use painel_tests::{
    client::{COMMANDS, Client},
    key_server::KeyServer,
    stack::{Stack, with_stack},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    reads::reads,
    tokens::{issuer_key, sign, with},
};

const AGGREGATIONS: &str = "/internal/operations/aggregations";

/// A token of the issuer with that header and those claims, whatever they are.
fn token(stack: &Stack, header: Value, claims: &Value) -> String {
    let (key, kid) = issuer_key(stack);
    let mut whole = json!({"alg": "RS256", "kid": kid});
    whole.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
    super::tokens::sign_raw(&key, &whole.to_string(), &claims.to_string())
}

#[test]
fn tokens() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let claims = |changes: Value| token(stack, json!({}), &with(changes));
        let header = |header: Value| token(stack, header, &with(json!({})));
        let (key, kid) = issuer_key(stack);
        let raw = |header: &str, claims: &str| super::tokens::sign_raw(&key, header, claims);
        let good_header = json!({"alg": "RS256", "kid": kid}).to_string();
        let tenant = stack.example.tenant.uuid();
        let twice = with(json!({})).to_string().replacen('{', "{\"sub\":\"other\",", 1);
        let rows = [
            ("as it should be", header(json!({})), 200),
            ("typ JWT", header(json!({"typ": "JWT"})), 200),
            ("typ at+jwt", header(json!({"typ": "at+jwt"})), 200),
            ("another typ", header(json!({"typ": "logout+jwt"})), 401),
            ("something that must be understood", header(json!({"crit": ["exp"], "exp": 1})), 401),
            ("nothing that must be understood", header(json!({"crit": []})), 401),
            ("a payload that is not encoded", header(json!({"crit": ["b64"], "b64": false})), 401),
            ("a key id that is a number", header(json!({"kid": 7})), 401),
            ("a key id with a control character", header(json!({"kid": "a\u{0}"})), 401),
            ("an empty key id", header(json!({"kid": ""})), 401),
            ("a header that is no object", raw("[]", &with(json!({})).to_string()), 401),
            ("claims that are no object", raw(&good_header, "[]"), 401),
            ("a claim that stands twice", raw(&good_header, &twice), 401),
            ("a subject with NUL", claims(json!({"sub": "a\u{0}b"})), 401),
            ("a subject with a line break", claims(json!({"sub": "a\nb"})), 401),
            ("a subject that is a number", claims(json!({"sub": 7})), 401),
            ("a subject that is too long", claims(json!({"sub": "s".repeat(321)})), 401),
            ("an address with NUL", claims(json!({"email": "a\u{0}@example.com"})), 401),
            ("a name with a control character", claims(json!({"username": "a\u{7f}b"})), 401),
            ("an address that is a list", claims(json!({"email": []})), 401),
            ("an end that is text", claims(json!({"exp": "tomorrow"})), 401),
            ("an end that is no time", claims(json!({"exp": i64::MAX})), 401),
            ("an end before all time", claims(json!({"exp": -1})), 401),
            ("an end beyond all numbers", claims(json!({"exp": 1e300})), 401),
            ("a use that is a number", claims(json!({"token_use": 1})), 401),
            ("a client that is a list", claims(json!({"client_id": ["painel-development"]})), 401),
            ("a tenant that is a number", claims(json!({"custom:tenant_id": 7})), 401),
            ("a tenant that is empty", claims(json!({"custom:tenant_id": ""})), 401),
            ("a tenant without hyphens", claims(json!({"custom:tenant_id": tenant.simple().to_string()})), 401),
            ("a tenant in braces", claims(json!({"custom:tenant_id": tenant.braced().to_string()})), 401),
            ("a tenant as a URN", claims(json!({"custom:tenant_id": tenant.urn().to_string()})), 401),
            ("an issuer among others", claims(json!({"iss": [ISSUER, "https://other.example"]})), 401),
            ("no issuer", claims(json!({"iss": null})), 401),
            ("a beginning that is text", claims(json!({"nbf": "now"})), 401),
            ("no use", claims(json!({"token_use": null})), 401),
            ("no client", claims(json!({"client_id": null})), 401),
            ("groups that are text", claims(json!({"cognito:groups": "INTERNAL_ADMIN"})), 403),
            ("groups that are an object", claims(json!({"cognito:groups": {"INTERNAL_ADMIN": true}})), 403),
            ("groups that are numbers", claims(json!({"cognito:groups": [1, 2]})), 403),
            ("a group in a list of lists", claims(json!({"cognito:groups": [["INTERNAL_ADMIN"]]})), 403),
            ("a group in other letters", claims(json!({"cognito:groups": ["internal_admin"]})), 403),
            ("a group among others", claims(json!({"cognito:groups": [1, "x", "INTERNAL_ADMIN"]})), 200),
        ];
        for (what, token, status) in rows {
            let asked = client.with_token(Some(token));
            assert_eq!(asked.get(COMMANDS).await.status, status, "{what}");
            if status != 200 {
                assert_eq!(asked.post(&json!({"command_type": "HEALTH_CHECK"})).await.status, status, "{what}");
            }
        }
        assert_eq!(client.get(COMMANDS).await.body["total"], 0);
    });
}

#[test]
fn keys_verify_only_what_they_are_for() {
    with_stack(|stack| async move {
        let (key, kid) = issuer_key(stack);
        let token = sign(&key, &kid, &with(json!({})));
        let whole = stack.issuer.key_set().unwrap();
        for (purpose, operations, status) in [
            (None, None, 200),
            (Some(PublicKeyUse::Signature), Some(vec![KeyOperations::Verify]), 200),
            (Some(PublicKeyUse::Encryption), None, 503),
            (Some(PublicKeyUse::Other("own".to_owned())), None, 503),
            (None, Some(vec![KeyOperations::Encrypt]), 503),
        ] {
            let mut set = whole.clone();
            set.keys[0].common.public_key_use = purpose.clone();
            set.keys[0].common.key_operations = operations;
            let mut set = serde_json::to_value(set).unwrap();
            // What nobody knows yet takes nothing from the others.
            set["keys"].as_array_mut().unwrap().push(json!({"kty": "LATTICE", "kid": "x", "alg": "ML-DSA-99"}));
            let server = KeyServer::start(Some(set)).await;
            let vars = stack.vars.clone().overridden_by([("PAINEL_AUTH_JWKS_URL", server.url())]);
            let client = stack.serve_with(&vars).await.with_token(Some(token.clone()));
            // Where no key is left, no token can be judged.
            assert_eq!(client.get(COMMANDS).await.status, status, "{purpose:?}");
        }
    });
}

#[test]
fn keys_are_not_taken_from_where_the_issuer_sends_to() {
    with_stack(|stack| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let elsewhere = stack.vars.text("PAINEL_AUTH_JWKS_URL").unwrap().to_owned();
        let sends_on = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let answer = format!(
                    "HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let client = stack.serve_with(&stack.vars.clone().overridden_by([("PAINEL_AUTH_JWKS_URL", url)])).await;
        assert_eq!(client.get(COMMANDS).await.status, 503, "no key is known");
        sends_on.abort();
    });
}

#[test]
fn queries() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let rows = [
            ("/internal/tenants?search=%FF", "search"),
            ("/internal/tenants?search=a%C3", "search"),
            ("/internal/tenants?%FF=a", "query"),
            ("/internal/tenants?search=a&search=b", "search"),
            ("/internal/tenants?search=a%00b", "search"),
            ("/internal/operations/aggregations?from=2026-02-02&to=2026-02-01", "from"),
            ("/internal/operations/aggregations?from=2026-02-30", "from"),
            ("/internal/operations/aggregations?from=+2026-02-01", "from"),
            ("/internal/operations/commands?limit=%2B5", "limit"),
            ("/internal/operations/commands?limit=18446744073709551617", "limit"),
            ("/internal/operations/commands?limit=5.0", "limit"),
            ("/internal/operations/commands?tenant_id=00000000000000000000000000000000", "tenant_id"),
            ("/internal/operations/commands?Status=PENDING", "Status"),
            ("/internal/operations/commands?dead_letter=yes", "dead_letter"),
            ("/internal/operations/commands?created_by=a%7Fb", "created_by"),
            ("/internal/operations/events?event_type=a%7Fb", "event_type"),
        ];
        for (path, field) in rows {
            let answer = client.get(path).await;
            assert_eq!((answer.status.as_u16(), answer.fields()), (400, vec![field]), "{path}: {}", answer.body);
        }
        for path in reads(stack.example.tenant) {
            let mark = if path.contains('?') { '&' } else { '?' };
            for (more, field) in [("x=1", "x"), ("x=%ff", "x")] {
                let answer = client.get(&format!("{path}{mark}{more}")).await;
                assert_eq!((answer.status.as_u16(), answer.fields()), (400, vec![field]), "{path}{mark}{more}");
            }
        }
    });
}

/// What it is, its headers, its body, and the status of the answer.
type Row<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, u16);

#[test]
fn bodies_and_their_heads() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let fine = r#"{"command_type": "HEALTH_CHECK"}"#;
        let json = [("Content-Type", "application/json")];
        let deep = format!(
            r#"{{"command_type": "HEALTH_CHECK", "parameters": {}{}}}"#,
            "[".repeat(1_000),
            "]".repeat(1_000)
        );
        let rows: Vec<Row<'_>> = vec![
            ("a coding", vec![json[0], ("Content-Encoding", "gzip")], fine, 415),
            (
                "a coding behind none",
                vec![json[0], ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")],
                fine,
                415,
            ),
            ("several codings", vec![json[0], ("Content-Encoding", "identity, gzip")], fine, 415),
            ("no type", vec![], fine, 415),
            ("two types", vec![json[0], ("Content-Type", "text/plain")], fine, 415),
            ("another type", vec![("Content-Type", "application/json5")], fine, 415),
            ("two keys", vec![json[0], ("Idempotency-Key", "a"), ("Idempotency-Key", "b")], fine, 400),
            ("the same key twice", vec![json[0], ("Idempotency-Key", "a"), ("Idempotency-Key", "a")], fine, 400),
            ("nested too deep", json.to_vec(), &deep, 400),
            (
                "a number out of range",
                json.to_vec(),
                r#"{"command_type": "HEALTH_CHECK", "parameters": {"x": 1e999}}"#,
                400,
            ),
            ("a lone surrogate", json.to_vec(), r#"{"command_type": "HEALTH_CHECK", "reason": "\ud800"}"#, 400),
            ("a comment", json.to_vec(), r#"{"command_type": "HEALTH_CHECK" /* now */}"#, 400),
            ("a comma too many", json.to_vec(), r#"{"command_type": "HEALTH_CHECK",}"#, 400),
            ("a byte order mark", json.to_vec(), "\u{feff}{}", 400),
            (
                "an escaped key twice",
                json.to_vec(),
                r#"{"command_type": "HEALTH_CHECK", "command\u005ftype": "HEALTH_CHECK"}"#,
                400,
            ),
        ];
        for (what, headers, body, status) in rows {
            for path in [COMMANDS, AGGREGATIONS] {
                let request = client.request(Method::POST, path).body(body.to_owned());
                let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
                let answer = client.send(request).await;
                assert_eq!(answer.status, status, "{what} to {path}: {}", answer.body);
            }
        }
        for query in ["x=1", "tenant_id=a", "x=%ff", "limit=5"] {
            for path in [COMMANDS, AGGREGATIONS] {
                let request = client.request(Method::POST, &format!("{path}?{query}")).header(json[0].0, json[0].1);
                let answer = client.send(request.body(fine)).await;
                let field = query.split_once('=').unwrap().0;
                assert_eq!((answer.status.as_u16(), answer.fields()), (400, vec![field]), "{path}?{query}");
            }
        }
        assert_eq!(client.get(COMMANDS).await.body["total"], 0);
        let two = client.request(Method::GET, COMMANDS).header("Authorization", "Bearer x");
        assert_eq!(client.send(two).await.status, 401, "two tokens");
    });
}

/// Every list that goes on by a cursor, asked in two ways: what leads on in the one does not in the other.
#[test]
fn cursors_lead_on_in_their_own_list_alone() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        for _ in 0..3 {
            client.accepted(&json!({"command_type": "HEALTH_CHECK", "tenant_id": stack.example.tenant})).await;
        }
        let (from, to) = (today() - Days::new(3), today() - Days::new(1));
        let days = client.request(Method::POST, AGGREGATIONS).json(&json!({"from": from, "to": to}));
        assert_eq!(client.send(days).await.status, 202);
        let (tenant, other) = (stack.example.tenant, other_tenant(stack).await);
        let rows = [
            (format!("{COMMANDS}?limit=1"), format!("{COMMANDS}?limit=1&command_type=HEALTH_CHECK")),
            (format!("{AGGREGATIONS}?limit=1"), format!("{AGGREGATIONS}?limit=1&state=queued")),
            (
                "/internal/operations/events?limit=1".to_owned(),
                format!("/internal/operations/events?limit=1&tenant_id={tenant}"),
            ),
            (
                format!("/internal/tenants/{tenant}/agents?limit=1"),
                format!("/internal/tenants/{other}/agents?limit=1"),
            ),
            (
                format!("/tenant/agents?limit=1&tenant_id={tenant}"),
                format!("/tenant/agents?limit=1&tenant_id={other}"),
            ),
            (
                format!("/tenant/agents?limit=1&tenant_id={tenant}"),
                format!("/tenant/agents?limit=1&status=all&tenant_id={tenant}"),
            ),
        ];
        let cursors: Vec<String> = {
            let mut cursors = Vec::new();
            for (own, _) in &rows {
                cursors.push(cursor(&client, own).await);
            }
            cursors
        };
        for (n, (own, foreign)) in rows.iter().enumerate() {
            let good = client.get(&format!("{own}&cursor={}", cursors[n])).await;
            assert_eq!(good.status, 200, "{own}: {}", good.body);
            for (m, cursor) in cursors.iter().enumerate() {
                let path = format!("{foreign}&cursor={cursor}");
                let answer = client.get(&path).await;
                assert_eq!((answer.status.as_u16(), answer.fields()), (400, vec!["cursor"]), "{path} of {m}");
            }
        }
    });
}

#[test]
fn a_cursor_to_a_time_that_no_event_has_is_refused() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        client.accepted(&json!({"command_type": "HEALTH_CHECK"})).await;
        client.accepted(&json!({"command_type": "HEALTH_CHECK"})).await;
        let list = "/internal/operations/events?limit=1";
        let read = BASE64_URL_SAFE_NO_PAD.decode(cursor(&client, list).await).unwrap();
        let mut place: Value = serde_json::from_slice(&read).unwrap();
        for at in [-1, i64::MAX, 32_503_680_000_000_000] {
            place["at"][0] = json!(at);
            let made_up = BASE64_URL_SAFE_NO_PAD.encode(place.to_string());
            let answer = client.get(&format!("{list}&cursor={made_up}")).await;
            assert_eq!((answer.status.as_u16(), answer.fields()), (400, vec!["cursor"]), "{at}: {}", answer.body);
        }
    });
}

async fn cursor(client: &Client, path: &str) -> String {
    let answer = client.get(path).await;
    answer.body["next_cursor"].as_str().unwrap_or_else(|| panic!("{path}: {}", answer.body)).to_owned()
}

async fn other_tenant(stack: &Stack) -> uuid::Uuid {
    sqlx::query_scalar("SELECT min(tenant_id::text)::uuid FROM tenant_agents WHERE tenant_id <> $1")
        .bind(stack.example.tenant.uuid())
        .fetch_one(&stack.stores.db.service())
        .await
        .unwrap()
}
