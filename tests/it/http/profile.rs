//! Who somebody is, and how they read the panel.

use painel::services::issuer::Role;
use painel_tests::{
    client::Client,
    panel::{Visitor, Who},
    stack::with_stack,
};
use reqwest::Method;
use serde_json::{Value, json};

async fn put(client: &Client, body: &Value) -> painel_tests::client::Answer {
    client.send(client.request(Method::PUT, "/profile/preferences").json(body)).await
}

#[test]
fn what_somebody_chooses_is_theirs_in_every_browser_and_nobody_elses() {
    with_stack(|stack| async move {
        let admin = stack.serve().await;
        let support = admin.with_token(Some(stack.issuer.token(Role::Support, None).unwrap()));
        let profile = admin.get("/profile").await.body;
        assert_eq!(
            (&profile["sub"], &profile["groups"]),
            (&json!("development-admin"), &json!(["INTERNAL_ADMIN"]))
        );
        let default = profile["preferences"].clone();
        assert_eq!((&default["language"], &default["zone"]), (&json!("pt-BR"), &json!("America/Sao_Paulo")));
        let chosen = json!({
            "language": "en", "zone": "UTC", "theme": "dark", "dense": true, "live": false, "shortcuts": false,
            "interval_seconds": 5,
        });
        assert_eq!(put(&admin, &chosen).await.body, chosen);
        assert_eq!(admin.get("/profile").await.body["preferences"], chosen);
        assert_eq!(support.get("/profile").await.body["preferences"], default);
        // Another browser.
        let mut visitor = Visitor::signed_in(&admin.url, Who::Admin).await;
        assert!(visitor.get("/app/settings").await.text.contains("<html lang=\"en\" data-theme=\"dark\""));
        // And the other way round.
        visitor.post("/app/settings", &[("language", "pt-BR"), ("zone", "America/Manaus"), ("live", "on")]).await;
        let now = admin.get("/profile").await.body["preferences"].clone();
        assert_eq!(
            (&now["zone"], &now["live"], &now["dense"]),
            (&json!("America/Manaus"), &json!(true), &json!(false))
        );
        let mut other = Visitor::signed_in(&admin.url, Who::Support).await;
        assert!(other.get("/app/settings").await.text.contains("<html lang=\"pt-BR\""));
    });
}

#[test]
fn a_wrong_choice_is_named_and_changes_nothing() {
    with_stack(|stack| async move {
        let admin = stack.serve().await;
        let before = admin.get("/profile").await.body;
        for (change, fields) in [
            (json!({"language": "tlh"}), vec!["language"]),
            (json!({"zone": "Mars/Olympus"}), vec!["zone"]),
            (json!({"theme": null}), vec!["theme"]),
            (json!({"dense": "yes"}), vec!["dense"]),
            (json!({"colour": "red"}), vec!["colour"]),
            (json!({"interval_seconds": 3}), vec!["interval_seconds"]),
        ] {
            let mut body = before["preferences"].clone();
            body.as_object_mut().unwrap().extend(change.as_object().cloned().unwrap());
            let answer = put(&admin, &body).await;
            assert_eq!((answer.status.as_u16(), answer.fields()), (400, fields), "{change}");
        }
        assert_eq!(admin.get("/profile").await.body, before);
    });
}
