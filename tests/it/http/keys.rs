//! The issuer's keys: rotated, unknown, and not to be had; and the users behind the tokens.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use painel::services::issuer::{CLIENT_ID, ISSUER, Issuer, Role};
use painel_shared::{ids::TenantId, time::now};
use painel_tests::{
    client::{COMMANDS, Client},
    key_server::KeyServer,
    stack::{Stack, with_stack},
    wait::eventually,
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use uuid::Uuid;

/// The shortest time between two looks for a key, and some more.
const NEXT_LOOK: Duration = Duration::from_secs(15);

fn keys(issuers: &[&Issuer]) -> Value {
    let all: Vec<_> = issuers.iter().flat_map(|issuer| issuer.key_set().unwrap().keys).collect();
    json!({"keys": all})
}

async fn serve(stack: &Stack, server: &KeyServer) -> Client {
    let vars = stack.vars.clone().overridden_by([("PAINEL_AUTH_JWKS_URL", server.url())]);
    stack.serve_with(&vars).await
}

fn admin(issuer: &Issuer) -> Option<String> {
    Some(issuer.token(Role::Admin, None).unwrap())
}

#[test]
fn a_new_key_is_found_a_withdrawn_one_goes_on_until_then_and_a_dead_issuer_changes_nothing() {
    with_stack(|stack| async move {
        let next = Issuer::open(&stack.folder.join("next.pem")).unwrap();
        let server = KeyServer::start(Some(keys(&[&stack.issuer]))).await;
        let client = serve(stack, &server).await;
        assert_eq!(client.with_token(admin(&stack.issuer)).get(COMMANDS).await.status, 200);
        // The issuer fails: what is known goes on, what is not is refused.
        server.set(None);
        assert_eq!(client.with_token(admin(&stack.issuer)).get(COMMANDS).await.status, 200);
        assert_eq!(client.with_token(admin(&next)).get(COMMANDS).await.status, 401);
        // It comes back with another key as well.
        server.set(Some(keys(&[&next, &stack.issuer])));
        eventually("the new key to be found", NEXT_LOOK, || async {
            (client.with_token(admin(&next)).get(COMMANDS).await.status == 200).then_some(())
        })
        .await;
        assert_eq!(client.with_token(admin(&stack.issuer)).get(COMMANDS).await.status, 200);
    });
}

#[test]
fn the_set_is_fetched_anew_again_and_again_and_a_withdrawn_key_is_forgotten() {
    with_stack(|stack| async move {
        let next = Issuer::open(&stack.folder.join("next.pem")).unwrap();
        let server = KeyServer::start(Some(keys(&[&stack.issuer]))).await;
        let vars = stack
            .vars
            .clone()
            .overridden_by([("PAINEL_AUTH_JWKS_URL", server.url()), ("PAINEL_AUTH_JWKS_SECONDS", "1".to_owned())]);
        let client = stack.serve_with(&vars).await;
        // Each time another token, which nobody has verified.
        let status = async || client.with_token(admin(&stack.issuer)).get(COMMANDS).await.status;
        eventually("the issuer to be asked three times", NEXT_LOOK * 3, || async {
            assert_eq!(status().await, 200);
            (server.asked() >= 3).then_some(())
        })
        .await;
        server.set(Some(keys(&[&next])));
        eventually("the withdrawn key to be forgotten", NEXT_LOOK * 3, || async {
            (status().await == 401).then_some(())
        })
        .await;
    });
}

#[test]
fn unknown_keys_cost_one_look_at_the_issuer() {
    with_stack(|stack| async move {
        let server = KeyServer::start(Some(keys(&[&stack.issuer]))).await;
        let client = serve(stack, &server).await;
        let made_up = |n: usize| {
            let header = Header { kid: Some(format!("made-up-{n}")), ..Header::new(Algorithm::RS256) };
            encode(&header, &json!({"sub": "s"}), stack.issuer.signing_key()).unwrap()
        };
        let hostile = (0..200).map(|n| {
            let client = client.with_token(Some(made_up(n)));
            async move { client.get(COMMANDS).await.status }
        });
        let statuses = futures::future::join_all(hostile).await;
        assert!(statuses.iter().all(|status| *status == 401));
        assert_eq!(server.asked(), 1, "two hundred tokens with made-up keys");
        assert_eq!(client.get(COMMANDS).await.status, 200);
    });
}

fn claims(sub: &str, groups: &[&str], tenant: Option<TenantId>) -> Value {
    let at = now().timestamp();
    json!({
        "iss": ISSUER, "sub": sub, "client_id": CLIENT_ID, "token_use": "access", "cognito:groups": groups,
        "iat": at, "exp": at + 600, "custom:tenant_id": tenant,
    })
}

fn sign(stack: &Stack, claims: &Value) -> Option<String> {
    let kid = stack.issuer.key_set().unwrap().keys[0].common.key_id.clone();
    let key: &EncodingKey = stack.issuer.signing_key();
    Some(encode(&Header { kid, ..Header::new(Algorithm::RS256) }, claims, key).unwrap())
}

#[test]
fn a_users_tenant_is_found_by_who_they_are_and_must_agree_with_their_token() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let tenant = stack.example.tenant;
        let other: Uuid = sqlx::query_scalar("SELECT id FROM tenants WHERE id <> $1 LIMIT 1")
            .bind(tenant.uuid())
            .fetch_one(&stack.stores.db.service())
            .await
            .unwrap();
        // The demo data's users: the first of the first tenant, and one who has been shut out.
        let shut_out = "UPDATE tenant_users SET status = 'inactive' WHERE cognito_sub = 'demo-user-1-2'";
        sqlx::query(shut_out).execute(&stack.stores.db.service()).await.unwrap();
        let user = &["TENANT_USER"][..];
        let table = [
            ("a member without the claim", claims("demo-user-1-3", user, None), 200),
            ("a member with the claim", claims("demo-user-1-3", user, Some(tenant)), 200),
            ("a member who claims another tenant", claims("demo-user-1-3", user, Some(other.into())), 403),
            ("nobody without a claim", claims("nobody", user, None), 403),
            ("a claim alone", claims("nobody", user, Some(tenant)), 200),
            ("an inactive member", claims("demo-user-1-2", user, Some(tenant)), 403),
            ("a member without a group", claims("demo-user-1-3", &[], None), 403),
            ("a name that no database can hold", claims("a\0b", user, Some(tenant)), 401),
            ("SQL for a name", claims("' OR '1'='1", user, None), 403),
        ];
        for (what, claims, status) in table {
            let answer = client.with_token(sign(stack, &claims)).get("/tenant/me").await;
            assert_eq!(answer.status, status, "{what}: {}", answer.body);
            if status == 200 {
                assert_eq!(answer.body["id"], tenant.to_string(), "{what}");
            }
        }
    });
}

#[test]
fn a_token_with_any_character_changed_is_refused() {
    with_stack(|stack| async move {
        let client = stack.serve().await;
        let good = admin(&stack.issuer).unwrap();
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
        let change = (0..good.len(), "[A-Za-z0-9_.-]");
        for _ in 0..300 {
            let (at, letter) = change.new_tree(&mut runner).unwrap().current();
            let mut bad = good.clone();
            bad.replace_range(at..=at, &letter);
            if bad == good {
                continue;
            }
            // The last character of a part may hold bits that mean nothing; such a change changes no byte.
            let parts = |token: &str| token.split('.').map(decode).collect::<Vec<_>>();
            let status = client.with_token(Some(bad.clone())).get(COMMANDS).await.status;
            if parts(&bad) != parts(&good) {
                assert_eq!(status, 401, "{letter} at {at}");
            }
        }
    });
}

/// The bytes of a part of a token, read as leniently as anybody could.
fn decode(part: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<bool> = part
        .bytes()
        .filter_map(|byte| alphabet.iter().position(|one| *one == byte))
        .flat_map(|value| (0..6).rev().map(move |bit| value >> bit & 1 == 1))
        .collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit))).collect()
}
