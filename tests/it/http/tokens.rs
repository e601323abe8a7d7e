//! Who may do what: a table of tokens.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use painel::services::issuer::{CLIENT_ID, ISSUER, Issuer, Role};
use painel_api::{
    auth::{Caller, Group},
    config::AuthConfig,
};
use painel_shared::time::now;
use painel_tests::{
    client::COMMANDS,
    host::{Health, Host},
    stack::{Stack, with_stack},
    wait::eventually,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// The claims of a good token.
fn claims() -> Value {
    let at = now().timestamp();
    json!({
        "iss": ISSUER, "sub": "s", "client_id": CLIENT_ID, "token_use": "access",
        "cognito:groups": ["INTERNAL_ADMIN"], "iat": at, "exp": at + 600,
    })
}

pub(super) fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value.is_null() {
            true => claims.as_object_mut().unwrap().remove(name),
            false => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// The issuer's key and its id.
pub(super) fn issuer_key(stack: &Stack) -> (EncodingKey, String) {
    let kid = stack.issuer.key_set().unwrap().keys[0].common.key_id.clone().unwrap();
    (stack.issuer.signing_key().clone(), kid)
}

pub(super) fn sign(key: &EncodingKey, kid: &str, claims: &Value) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::RS256) };
    encode(&header, claims, key).unwrap()
}

/// Signs whatever stands there.
pub(super) fn sign_raw(key: &EncodingKey, header: &str, claims: &str) -> String {
    let message = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, Algorithm::RS256).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn only_the_issuers_own_valid_tokens_are_taken() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let (key, kid) = issuer_key(stack);
        let foreign = Issuer::open(&stack.folder.join("foreign.pem")).unwrap().signing_key().clone();
        let at = now().timestamp();
        let good = sign(&key, &kid, &claims());
        let hmac = {
            let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::HS256) };
            encode(&header, &claims(), &EncodingKey::from_secret(b"public key as secret")).unwrap()
        };
        let unsigned = {
            let mut parts = good.split('.');
            let body = parts.nth(1).unwrap();
            format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.")
        };
        let cut = good[..good.len() - 8].to_owned();
        let unnamed = encode(&Header::new(Algorithm::RS256), &claims(), &key).unwrap();
        let table: Vec<(&str, Option<String>, u16)> = vec![
            ("no token", None, 401),
            ("a good token", Some(good), 200),
            ("nonsense", Some("nonsense".to_owned()), 401),
            ("an empty token", Some(String::new()), 401),
            ("a signature cut short", Some(cut), 401),
            ("no algorithm", Some(unsigned), 401),
            ("HMAC", Some(hmac), 401),
            ("no key id", Some(unnamed), 401),
            ("an unknown key id", Some(sign(&key, "unknown", &claims())), 401),
            ("another issuer's key", Some(sign(&foreign, &kid, &claims())), 401),
            ("expired", Some(sign(&key, &kid, &with(json!({"exp": at - 60})))), 401),
            ("without expiry", Some(sign(&key, &kid, &with(json!({"exp": null})))), 401),
            ("not yet valid", Some(sign(&key, &kid, &with(json!({"nbf": at + 600})))), 401),
            ("another issuer", Some(sign(&key, &kid, &with(json!({"iss": "https://evil.example"})))), 401),
            ("without issuer", Some(sign(&key, &kid, &with(json!({"iss": null})))), 401),
            ("another client", Some(sign(&key, &kid, &with(json!({"client_id": "other"})))), 401),
            ("without client", Some(sign(&key, &kid, &with(json!({"client_id": null})))), 401),
            ("an id token", Some(sign(&key, &kid, &with(json!({"token_use": "id"})))), 401),
            ("without a subject", Some(sign(&key, &kid, &with(json!({"sub": null})))), 401),
            ("an empty subject", Some(sign(&key, &kid, &with(json!({"sub": ""})))), 401),
            ("a tenant that is no UUID", Some(sign(&key, &kid, &with(json!({"custom:tenant_id": "acme"})))), 401),
            ("support", Some(stack.issuer.token(Role::Support, None).unwrap()), 200),
            ("a tenant", Some(stack.issuer.token(Role::Tenant, Some(stack.example.tenant)).unwrap()), 403),
            ("no group", Some(sign(&key, &kid, &with(json!({"cognito:groups": null})))), 403),
            ("an unknown group", Some(sign(&key, &kid, &with(json!({"cognito:groups": ["ADMIN"]})))), 403),
        ];
        for (what, token, status) in table {
            let asked = client.with_token(token.clone());
            let answer = asked.get(COMMANDS).await;
            assert_eq!(answer.status, status, "{what}: {}", answer.body);
            if status == 401 {
                assert_eq!(answer.headers["www-authenticate"], "Bearer");
            }
            if status != 200 {
                let posted = asked.post(&json!({"command_type": "HEALTH_CHECK"})).await;
                assert_eq!(posted.status, status, "{what}");
                assert_eq!(asked.get(&format!("{COMMANDS}/{}", Uuid::new_v4())).await.status, status, "{what}");
            }
        }
        assert_eq!(client.get(COMMANDS).await.body["total"], 0);
    });
}

#[test]
fn operators_send_commands_under_their_own_name() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let support = client.with_token(Some(stack.issuer.token(Role::Support, None).unwrap()));
        let id = support.accepted(&json!({"command_type": "HEALTH_CHECK"})).await;
        let command = support.command(&id).await;
        assert_eq!(command["created_by"], "development-support");
        assert_eq!(command["events"][0]["user_id"], "development-support");
    });
}

#[test]
fn a_tenants_user_reaches_their_own_tenant_only() {
    let (own, other) = (Uuid::new_v4().into(), Uuid::new_v4().into());
    let caller = |groups: &[Group]| Caller {
        sub: "s".to_owned(),
        email: None,
        tenant_id: Some(own),
        groups: groups.to_vec(),
    };
    for group in [Group::TenantAdmin, Group::TenantUser] {
        assert!(caller(&[group]).require_tenant_access(own).is_ok());
        assert!(caller(&[group]).require_tenant_access(other).is_err());
        assert!(caller(&[group]).require_internal().is_err());
    }
    for group in [Group::InternalAdmin, Group::InternalSupport] {
        assert!(caller(&[group]).require_tenant_access(other).is_ok());
        assert!(caller(&[group]).require_internal().is_ok());
    }
    assert!(caller(&[]).require_tenant_access(own).is_err());
}

#[test]
fn without_the_issuers_keys_no_token_can_be_judged() {
    with_stack(|stack| async move {
        // Nothing listens there.
        let vars =
            stack.vars.clone().overridden_by([("PAINEL_AUTH_JWKS_URL", "http://127.0.0.1:9/jwks.json".to_owned())]);
        assert!(AuthConfig::from_vars(&vars).is_ok());
        let client = stack.serve_with(&vars).await;
        let answer = client.get(COMMANDS).await;
        assert_eq!((answer.status.as_u16(), answer.headers["retry-after"].to_str().unwrap()), (503, "1"));
    });
}

#[test]
fn a_known_key_waits_for_no_fetch_and_one_that_was_given_up_goes_on() {
    with_stack(|stack| async move {
        let (host, url) = Host::before_the_one_in(&stack.vars, "PAINEL_AUTH_JWKS_URL").await;
        let vars = stack
            .vars
            .clone()
            .overridden_by([("PAINEL_AUTH_JWKS_URL", url), ("PAINEL_AUTH_JWKS_SECONDS", "1".to_owned())]);
        let client = stack.serve_with(&vars).await;
        host.become_so(Health::Silent).await;
        // Who asks first gives up, and the fetch goes on.
        let hurried = client.request(reqwest::Method::GET, COMMANDS).timeout(Duration::from_millis(300));
        assert!(hurried.send().await.unwrap_err().is_timeout());
        host.become_so(Health::Well).await;
        eventually("the keys", Duration::from_secs(60), || async {
            (client.get(COMMANDS).await.status == 200).then_some(())
        })
        .await;
        host.become_so(Health::Silent).await;
        let had = std::time::Instant::now();
        eventually("the set to be too old", Duration::from_secs(60), || async {
            assert_eq!(client.get("/internal/operations/events").await.status, 200, "a known key is known");
            (had.elapsed() > Duration::from_secs(2)).then_some(())
        })
        .await;
    });
}

#[test]
fn an_issuer_that_says_nothing_is_asked_by_one_at_a_time_and_its_keys_are_had_once_it_is_back() {
    with_stack(|stack| async move {
        let url = stack.vars.text("PAINEL_AUTH_JWKS_URL").unwrap();
        let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
        let host = Host::before(address.parse().unwrap()).await;
        host.become_so(Health::Silent).await;
        let behind = url.replace(address, &host.address().to_string());
        let client = stack.serve_with(&stack.vars.clone().overridden_by([("PAINEL_AUTH_JWKS_URL", behind)])).await;
        let answers = join_all((0..40).map(|_| client.get(COMMANDS))).await;
        assert!(answers.iter().all(|answer| answer.status == 503));
        assert!(host.most_open() <= 1, "{} connections were tried at once", host.most_open());
        host.become_so(Health::Well).await;
        eventually("a token to be judged", Duration::from_secs(60), || async {
            (client.get(COMMANDS).await.status == 200).then_some(())
        })
        .await;
    });
}
