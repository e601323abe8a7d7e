//! Signing in and out, and what a session is.

use std::time::Duration;

use painel_shared::{config::Vars, secrets::Keyring, time::now};
use painel_tests::{
    panel::{Visitor, Who},
    stack::{Stack, with_stack},
    wait::eventually,
};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

const SESSION: &str = "__Host-painel";
const ATTEMPT: &str = "__Host-painel-login";
/// Two keys for sessions: thirty-two bytes of zero, and of one.
const KEYS: [&str; 2] =
    ["old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="];

#[test]
fn whoever_signs_in_comes_to_the_page_that_they_wanted() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::new(&url);
        let wanted = "/app/company/tenants?search=Padaria";
        let away = visitor.get(wanted).await;
        assert_eq!(away.location(), "/app/login?return=%2Fapp%2Fcompany%2Ftenants%3Fsearch%3DPadaria");
        let arrived = visitor.sign_in(Who::Admin, wanted).await;
        assert_eq!((arrived.status.as_u16(), arrived.location()), (303, wanted));
        assert!(visitor.cookies.contains_key(SESSION) && !visitor.cookies.contains_key(ATTEMPT));
        assert_eq!(visitor.get(wanted).await.status, 200);
    });
}

#[test]
fn nobody_is_sent_elsewhere_after_signing_in() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        for foreign in [
            "https://other.example/app/",
            "//other.example",
            "/app//other.example",
            "/app/\\other.example",
            "/app/..//other.example",
            "/app/../internal/tenants",
            "/app/%2e%2e/internal/tenants",
            "/app/./logout",
            "/app/%2E/callback",
            "/internal/tenants",
            "/apple",
            "app/company",
            "/app/logout",
            "/app/callback?code=x",
        ] {
            let mut visitor = Visitor::new(&url);
            assert_eq!(visitor.sign_in(Who::Admin, foreign).await.location(), "/app", "{foreign}");
        }
    });
}

#[test]
fn what_does_not_belong_to_an_attempt_signs_nobody_in() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::new(&url);
        let back = visitor.until_back(Who::Admin, "/app").await;
        let with_attempt = visitor.clone();

        let other_state = back.replacen("state=", "state=x", 1);
        let no_code = back.split("&code=").next().unwrap().to_owned();
        for (what, path, status) in [
            ("another state", other_state.as_str(), 400),
            ("no state", "/app/callback?code=x", 400),
            ("no code", no_code.as_str(), 403),
            ("an error of the login site", &format!("{no_code}&error=access_denied"), 403),
        ] {
            let page = with_attempt.clone().get(path).await;
            assert_eq!(page.status, status, "{what}: {}", page.text);
            assert!(page.text.contains("href=\"/app\""), "{what}: there is a way on");
            assert!(!page.headers.contains_key("set-cookie"), "{what}");
        }

        let mut stranger = Visitor::new(&url);
        assert_eq!(stranger.get(&back).await.status, 400, "somebody else's way back");
        stranger.until_back(Who::Support, "/app").await;
        assert_eq!(stranger.get(&back).await.status, 400, "of another attempt");

        assert_eq!(visitor.get(&back).await.status, 303);
        let sealed = visitor.cookies[SESSION].clone();
        let again = visitor.get(&back).await;
        assert_eq!(
            (again.status.as_u16(), again.location()),
            (303, "/app"),
            "once more, by who is signed in already"
        );
        assert_eq!(visitor.cookies[SESSION], sealed);
        assert_eq!(with_attempt.clone().get(&back).await.status, 400, "a code that was redeemed");
    });
}

#[test]
fn a_token_of_another_attempt_signs_nobody_in() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        // The verifier and the nonce are of the first attempt, the code of the second.
        let mut first = Visitor::new(&url);
        let way = first.until_back(Who::Admin, "/app").await;
        let mut second = Visitor::new(&url);
        let other = second.until_back(Who::Admin, "/app").await;
        let code = other.split("code=").nth(1).unwrap();
        let mixed = format!("{}&code={code}", way.split("&code=").next().unwrap());
        let page = first.get(&mixed).await;
        assert_eq!(page.status, 400, "{}", page.text);
        assert!(!first.cookies.contains_key(SESSION));
    });
}

#[test]
fn a_session_that_was_cut_or_altered_is_none() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let visitor = Visitor::signed_in(&url, Who::Admin).await;
        let whole = visitor.cookies[SESSION].clone();
        let flipped = |at: usize| {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        };
        let altered = [
            String::new(),
            "1".to_owned(),
            "9".to_owned() + &whole[1..],
            "2".to_owned() + &whole[1..],
            whole[..whole.len() / 2].to_owned(),
            whole[1..].to_owned(),
            format!("{whole}A"),
            flipped(1),
            flipped(10),
            flipped(whole.len() / 2),
            whole.replace('.', ""),
        ];
        for value in altered {
            let mut visitor = visitor.clone();
            visitor.cookies.insert(SESSION.to_owned(), value.clone());
            let page = visitor.get("/app/company").await;
            assert_eq!(page.status, 303, "{value}");
            assert!(page.location().starts_with("/app/login?return="), "{value}");
            assert!(!visitor.cookies.contains_key(SESSION), "it is removed: {value}");
        }
        let mut attempt = visitor.clone();
        attempt.cookies.remove(SESSION);
        attempt.cookies.insert(ATTEMPT.to_owned(), whole.clone());
        assert_eq!(attempt.get("/app/callback?state=x&code=y").await.status, 400, "a session is no attempt");
        assert_eq!(visitor.clone().get("/app/company").await.status, 200);
    });
}

#[test]
fn a_session_opens_at_every_replica_and_under_every_key_that_is_known() {
    with_stack(|stack| async move {
        let serve = async |keys: &str| {
            let set = [("PAINEL_SESSION_KEYS", keys.to_owned())];
            stack.serve_with(&stack.vars.clone().overridden_by(set)).await.url
        };
        let [old, new] = KEYS;
        let visitor = Visitor::signed_in(&serve(old).await, Who::Admin).await;
        for (keys, status) in [(old.to_owned(), 200), (format!("{new},{old}"), 200), (new.to_owned(), 303)] {
            let mut there = visitor.at(serve(&keys).await);
            assert_eq!(there.get("/app/company").await.status, status, "{keys}");
        }
    });
}

#[test]
fn a_page_renews_what_is_about_to_end_and_a_poll_does_not() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        // A minute is less than what is waited for.
        stack.login_site().set_token_age(Duration::from_secs(60));
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        let sealed = visitor.cookies[SESSION].clone();
        assert_eq!(visitor.get("/app/company/operations?fragment=live").await.status, 200);
        assert_eq!(visitor.cookies[SESSION], sealed, "a poll renews nothing");
        assert_eq!(visitor.get("/app/company/operations").await.status, 200);
        assert_ne!(visitor.cookies[SESSION], sealed);
        // What is known is good until its end, and no longer.
        stack.login_site().set_token_age(Duration::from_secs(2));
        assert_eq!(visitor.get("/app/company/operations").await.status, 200);
        stack.login_site().forget_all();
        eventually("the login site's no to count", Duration::from_secs(60), || {
            let mut visitor = visitor.clone();
            async move { (visitor.get("/app/company/operations").await.status == 303).then_some(()) }
        })
        .await;
        assert_eq!(visitor.get("/app/company/operations?fragment=live").await.status, 401);
    });
}

#[test]
fn a_poll_ends_no_session_that_a_page_can_renew() {
    with_stack(|stack| async move {
        stack.login_site().set_token_age(Duration::from_secs(1));
        let url = stack.serve().await.url;
        let visitor = Mutex::new(Visitor::signed_in(&url, Who::Admin).await);
        eventually("a poll to find that the token has ended", Duration::from_secs(60), || async {
            let poll = visitor.lock().await.get("/app/company/operations?fragment=live").await;
            (poll.status == 401).then_some(())
        })
        .await;
        stack.login_site().set_token_age(Duration::from_secs(3_600));
        let mut visitor = visitor.into_inner();
        let page = visitor.get("/app/company/operations").await;
        assert_eq!(page.status, 200, "{}", page.text);
        assert_eq!(visitor.get("/app/company/operations?fragment=live").await.status, 200);
    });
}

#[test]
fn what_was_chosen_holds_also_where_the_form_renewed_the_session() {
    with_stack(|stack| async move {
        stack.login_site().set_token_age(Duration::from_secs(60));
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        let saved = visitor.post("/app/settings", &[("language", "en")]).await;
        assert_eq!(saved.status, 303, "{}", saved.text);
        let sessions = saved
            .headers
            .get_all("set-cookie")
            .iter()
            .filter(|line| line.as_bytes().starts_with(b"__Host-painel="));
        assert_eq!(sessions.count(), 1);
        assert!(visitor.get("/app/settings").await.text.contains("<html lang=\"en\""));
    });
}

#[test]
fn a_session_ends_after_its_time() {
    with_stack(|stack| async move {
        stack.login_site().set_token_age(Duration::from_secs(1));
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        let alive = visitor.get("/app/alive").await;
        let told: serde_json::Value = serde_json::from_str(&alive.text).unwrap();
        assert!(told["ends_at"].as_i64().unwrap() <= painel_shared::time::now().timestamp() + 1, "{told}");
        eventually("the token to have ended", Duration::from_secs(60), || {
            let mut visitor = visitor.clone();
            async move { (visitor.get("/app/alive?fragment=ends").await.status == 401).then_some(()) }
        })
        .await;
    });
}

#[test]
fn an_inactive_user_is_shut_out_and_so_is_who_has_signed_out() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Of(stack.example.tenant)).await;
        sqlx::query("UPDATE tenant_users SET status = 'inactive' WHERE tenant_id = $1")
            .bind(stack.example.tenant.uuid())
            .execute(&stack.stores.db.service())
            .await
            .unwrap();
        // Another process has not looked for them yet.
        let mut elsewhere = visitor.at(stack.serve().await.url);
        assert_eq!(elsewhere.get("/app/dashboard").await.status, 403);
        let left = visitor.post("/app/logout", &[]).await;
        assert_eq!(left.status, 200, "{}", left.text);
        assert!(left.headers["refresh"].to_str().unwrap().contains("/logout?client_id="));
        assert!(!visitor.cookies.contains_key(SESSION));
        assert_eq!(visitor.get("/app/dashboard").await.status, 303);
    });
}

#[test]
fn a_panel_that_is_not_configured_says_what_is_missing_and_the_api_runs() {
    with_stack(|stack| async move {
        let vars = stack.vars.clone().overridden_by([("PAINEL_OAUTH_URL", String::new())]);
        let client = stack.serve_with(&vars).await;
        assert_eq!(client.get("/internal/tenants").await.status, 200);
        for path in ["/app", "/app/company", "/app/login"] {
            let page = Visitor::new(&client.url).get(path).await;
            assert_eq!(page.status, 503, "{path}: {}", page.text);
            assert!(page.text.contains("<code>PAINEL_OAUTH_URL</code>"), "{path}: {}", page.text);
            assert!(!page.text.contains("PAINEL_SESSION_KEYS"), "{path}");
        }
    });
}

/// The same visitor, what is sealed in a cookie of theirs changed: as if time had passed, or their pool said more.
fn with_changed(visitor: &Visitor, name: &str, change: impl FnOnce(&mut Value)) -> Visitor {
    let keys = Keyring::read(KEYS[0]).unwrap();
    let sealed = visitor.cookies[name].strip_prefix('1').expect("it is one cookie");
    let mut kept: Value = serde_json::from_slice(&keys.open_text(sealed, name.as_bytes()).unwrap()).unwrap();
    change(&mut kept);
    let sealed = keys.seal_text(serde_json::to_vec(&kept).unwrap(), name.as_bytes()).unwrap();
    let mut changed = visitor.clone();
    changed.cookies.insert(name.to_owned(), format!("1{sealed}"));
    changed
}

fn sealed_by_a_known_key(stack: &Stack) -> Vars {
    stack.vars.clone().overridden_by([("PAINEL_SESSION_KEYS", KEYS[0].to_owned())])
}

fn ago(seconds: i64) -> Value {
    json!(now().timestamp() - seconds)
}

#[test]
fn what_an_id_token_must_not_say_signs_nobody_in() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        for (claim, value) in [
            ("nonce", json!("of another attempt")),
            ("nonce", Value::Null),
            ("aud", json!("another-client")),
            ("token_use", json!("access")),
            ("iss", json!("https://elsewhere.example")),
            ("exp", ago(120)),
            ("sub", json!("")),
        ] {
            stack.login_site().misstate(Map::from_iter([(claim.to_owned(), value.clone())]));
            let mut visitor = Visitor::new(&url);
            let page = visitor.sign_in(Who::Admin, "/app").await;
            assert_eq!(page.status, 403, "{claim} is {value}: {}", page.text);
            assert!(page.text.contains("href=\"/app\""), "there is a way on");
            assert!(!visitor.cookies.contains_key(SESSION), "{claim} is {value}");
        }
        stack.login_site().misstate(Map::new());
        Visitor::signed_in(&url, Who::Admin).await;
    });
}

#[test]
fn an_attempt_is_over_after_ten_minutes() {
    with_stack(|stack| async move {
        let url = stack.serve_with(&sealed_by_a_known_key(stack)).await.url;
        let mut visitor = Visitor::new(&url);
        let back = visitor.until_back(Who::Admin, "/app").await;
        let mut late = with_changed(&visitor, ATTEMPT, |attempt| attempt["began"] = ago(601));
        assert_eq!(late.get(&back).await.status, 400);
        assert!(!late.cookies.contains_key(SESSION));
        let mut in_time = with_changed(&visitor, ATTEMPT, |attempt| attempt["began"] = ago(590));
        assert_eq!(in_time.get(&back).await.status, 303);
    });
}

#[test]
fn a_session_ends_when_nobody_looks_and_at_the_latest_after_twelve_hours() {
    with_stack(|stack| async move {
        let url = stack.serve_with(&sealed_by_a_known_key(stack)).await.url;
        let visitor = Visitor::signed_in(&url, Who::Admin).await;
        for (began, seen, status) in [
            (ago(60), ago(29 * 60), 200),
            (ago(3600), ago(31 * 60), 303),
            (ago(12 * 3600 - 60), ago(60), 200),
            (ago(12 * 3600 + 1), ago(60), 303),
            // A clock that is far ahead of this one's.
            (ago(-3600), ago(60), 303),
        ] {
            let mut changed = with_changed(&visitor, SESSION, |session| {
                (session["began"], session["seen"]) = (began.clone(), seen.clone());
            });
            let page = changed.get("/app/company").await;
            assert_eq!(page.status, status, "began {began}, seen {seen}: {}", page.text);
        }
    });
}

#[test]
fn a_session_that_needs_two_cookies_is_whole_or_none() {
    with_stack(|stack| async move {
        let url = stack.serve_with(&sealed_by_a_known_key(stack)).await.url;
        let visitor = Visitor::signed_in(&url, Who::Admin).await;
        // A refresh token as long as some pools make them; a page that is seen after a while seals the session anew.
        let changed = with_changed(&visitor, SESSION, |session| {
            (session["refresh_token"], session["seen"]) = (json!("r".repeat(3_500)), ago(120));
        });
        let long: String = changed.cookies[SESSION].clone();
        assert!(long.len() > 3_800, "it does not fit into one");
        let (first, second) = long.split_at(3_801);
        let mut two = changed.clone();
        two.cookies.insert(SESSION.to_owned(), format!("2{}", &first[1..]));
        two.cookies.insert(format!("{SESSION}-1"), second.to_owned());
        let mut lacking = two.clone();
        lacking.cookies.remove(&format!("{SESSION}-1"));
        assert_eq!(lacking.get("/app/company").await.status, 303);
        assert_eq!(two.get("/app/company").await.status, 200);
        let renewed = two.cookies[SESSION].clone();
        assert!(renewed.starts_with('2') && renewed.len() <= 3_801 && !renewed.contains(&first[1..100]));
        assert_eq!(two.get("/app/company").await.status, 200);
        // Signing out removes both.
        two.post("/app/logout", &[]).await;
        assert!(two.cookies.keys().all(|name| !name.starts_with(SESSION)), "{:?}", two.cookies.keys());
    });
}

#[test]
fn signing_out_revokes_what_would_have_renewed_the_session() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let mut visitor = Visitor::signed_in(&url, Who::Admin).await;
        assert_eq!(stack.login_site().signed_in(), 1);
        visitor.post("/app/logout", &[]).await;
        assert_eq!(stack.login_site().signed_in(), 0);
    });
}

#[test]
fn who_signs_in_under_a_form_comes_back_to_its_page() {
    with_stack(|stack| async move {
        let url = stack.serve().await.url;
        let visitor = Visitor::new(&url);
        let page = "/app/company/operations/new?command_type=HEALTH_CHECK";
        for (referer, wanted) in [
            (
                format!("{url}{page}"),
                "/app/login?return=%2Fapp%2Fcompany%2Foperations%2Fnew%3Fcommand_type%3DHEALTH_CHECK",
            ),
            ("https://elsewhere.example//evil".to_owned(), "/app/login"),
            (format!("{url}/internal/tenants"), "/app/login"),
            ("no address".to_owned(), "/app/login"),
        ] {
            let form = visitor.form("/app/company/operations/preview", &[("command_type", "HEALTH_CHECK")]);
            let form = form.header("Sec-Fetch-Site", "same-origin").header("Referer", &referer);
            let answer = visitor.clone().send(form).await;
            assert_eq!(answer.status, 401, "{referer}");
            assert!(answer.text.contains(&format!("href=\"{wanted}\"")), "{referer}: {}", answer.text);
        }
    });
}
