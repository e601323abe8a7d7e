//! The login site for development: Cognito's code flow with PKCE, without passwords. Whoever opens it chooses who they are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use actix_web::{
    HttpResponse, Responder,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION},
    web::{Data, Form, Json, Query},
};
use askama::Template;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use painel_shared::{
    ids::TenantId,
    secrets::{random_token, sha256},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::{Host, Url};

use super::issuer::{CLIENT_ID, Issuer, Role};
use crate::demo_data::first_tenant;

/// How long a code can be redeemed.
const CODE_AGE: Duration = Duration::from_secs(60);
/// How long an id token is good for, unless it is told otherwise: Cognito's own default.
const TOKEN_AGE: Duration = Duration::from_secs(3600);
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

/// A tenant whose user somebody can be.
#[derive(Clone, Debug)]
pub struct Customer {
    /// The tenant.
    pub id: TenantId,
    /// Its name.
    pub name: String,
}

/// The login site. Cheap to clone.
#[derive(Clone)]
pub struct LoginSite {
    issuer: Issuer,
    customers: Arc<OnceLock<Vec<Customer>>>,
    state: Arc<Mutex<State>>,
}

struct State {
    token_age: Duration,
    codes: HashMap<String, Grant>,
    refresh_tokens: HashMap<String, Person>,
    /// What id tokens say in the place of the truth.
    stead: Map<String, Value>,
}

impl Default for State {
    fn default() -> Self {
        Self { token_age: TOKEN_AGE, codes: HashMap::new(), refresh_tokens: HashMap::new(), stead: Map::new() }
    }
}

/// What a code stands for.
struct Grant {
    person: Person,
    request: Request,
    made: Instant,
}

/// Who somebody chose to be.
#[derive(Clone, Copy, Debug)]
struct Person {
    role: Role,
    tenant: Option<TenantId>,
}

/// What the panel asks for (RFC 6749, 4.1.1; RFC 7636, 4.3).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    response_type: String,
    client_id: String,
    redirect_uri: String,
    state: String,
    code_challenge: String,
    code_challenge_method: String,
    nonce: Option<String>,
    scope: Option<String>,
}

/// What somebody has chosen.
#[derive(Debug, Deserialize)]
pub struct Choice {
    /// `admin`, `support`, `tenant`, `user`, or nothing where they would rather not.
    who: Option<String>,
    tenant: Option<TenantId>,
    #[serde(flatten)]
    request: Request,
}

/// What the panel redeems.
#[derive(Debug, Deserialize)]
pub struct Redemption {
    grant_type: String,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
}

/// What the panel no longer needs.
#[derive(Debug, Deserialize)]
pub struct Revocation {
    token: String,
}

/// Where somebody goes who has signed out.
#[derive(Debug, Deserialize)]
pub struct Departure {
    logout_uri: String,
}

#[derive(Template)]
#[template(path = "login_site.html")]
struct LoginPage<'a> {
    request: &'a Request,
    customers: &'a [Customer],
}

impl LoginSite {
    /// One that signs by that issuer.
    pub fn new(issuer: Issuer) -> Self {
        Self { issuer, customers: Arc::default(), state: Arc::default() }
    }

    /// Lets people be users of these tenants.
    pub fn offer(&self, customers: Vec<Customer>) {
        // What is offered does not change while it runs.
        let _ = self.customers.set(customers);
    }

    /// Makes id tokens that are good for so long.
    pub fn set_token_age(&self, age: Duration) {
        self.state().token_age = age;
    }

    /// Has id tokens say that in the place of the truth: for trying out what is not believed.
    pub fn misstate(&self, stead: Map<String, Value>) {
        self.state().stead = stead;
    }

    /// For how many people it would renew a token.
    pub fn signed_in(&self) -> usize {
        self.state().refresh_tokens.len()
    }

    /// Forgets whoever has signed in: nothing is renewed for them any more.
    pub fn forget_all(&self) {
        self.state().refresh_tokens.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A code for that person.
    fn grant(&self, person: Person, request: Request) -> anyhow::Result<String> {
        let code = random_token()?.expose_secret().to_owned();
        let mut state = self.state();
        state.codes.retain(|_, grant| grant.made.elapsed() < CODE_AGE);
        state.codes.insert(code.clone(), Grant { person, request, made: Instant::now() });
        Ok(code)
    }

    /// Whom a code, or a refresh token, stands for, and the nonce that the token must bear; none where it is not good.
    fn redeem(&self, asked: &Redemption) -> Option<(Person, Option<String>)> {
        let mut state = self.state();
        match asked.grant_type.as_str() {
            "authorization_code" => {
                // It is good once, whatever comes of it.
                let grant = state.codes.remove(asked.code.as_deref()?)?;
                let challenge = BASE64_URL_SAFE_NO_PAD.encode(sha256(asked.code_verifier.as_deref()?.as_bytes()));
                let is_good = challenge == grant.request.code_challenge
                    && asked.redirect_uri.as_deref() == Some(&*grant.request.redirect_uri)
                    && grant.made.elapsed() < CODE_AGE;
                is_good.then_some((grant.person, grant.request.nonce))
            }
            "refresh_token" => {
                state.refresh_tokens.get(asked.refresh_token.as_deref()?).map(|person| (*person, None))
            }
            _ => None,
        }
    }

    fn answer(&self, asked: &Redemption, person: Person, nonce: Option<String>) -> anyhow::Result<Value> {
        let Person { role, tenant } = person;
        let (age, stead) = {
            let state = self.state();
            (state.token_age, state.stead.clone())
        };
        let mut answer = json!({
            "access_token": self.issuer.token(role, tenant)?,
            "id_token": self.issuer.id_token(role, tenant, nonce, age, &stead)?,
            "token_type": "Bearer",
            "expires_in": age.as_secs(),
        });
        if asked.grant_type == "authorization_code"
            && let Some(fields) = answer.as_object_mut()
        {
            let token = random_token()?.expose_secret().to_owned();
            self.state().refresh_tokens.insert(token.clone(), person);
            fields.insert("refresh_token".to_owned(), json!(token));
        }
        Ok(answer)
    }
}

impl Request {
    /// Where it sends people back to, where it is one that this site takes: of its one client, and on this machine.
    fn target(&self) -> Option<Url> {
        let target = Url::parse(&self.redirect_uri).ok()?;
        let fits = self.response_type == "code"
            && self.client_id == CLIENT_ID
            && self.code_challenge_method == "S256"
            && target.path() == "/app/callback"
            && is_near(&target);
        fits.then_some(target)
    }
}

fn is_near(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// `GET /oauth2/authorize`: the page on which somebody chooses who they are.
pub async fn authorize(site: Data<LoginSite>, request: Query<Request>) -> HttpResponse {
    if request.target().is_none() {
        return refuse("this request to sign in is of another client, or leads elsewhere");
    }
    let first = [Customer { id: first_tenant(), name: "Padaria Pão Quente".to_owned() }];
    let customers = site.customers.get().map_or(first.as_slice(), Vec::as_slice);
    match (LoginPage { request: &request, customers }).render() {
        Ok(page) => HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .insert_header((CONTENT_SECURITY_POLICY, POLICY))
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(page),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// `POST /oauth2/authorize`: somebody has chosen, and goes back.
pub async fn choose(site: Data<LoginSite>, choice: Form<Choice>) -> HttpResponse {
    let Choice { who, tenant, request } = choice.into_inner();
    let Some(mut target) = request.target() else {
        return refuse("this request to sign in is of another client, or leads elsewhere");
    };
    let person = match who.as_deref() {
        Some("admin") => Some(Person { role: Role::Admin, tenant: None }),
        Some("support") => Some(Person { role: Role::Support, tenant: None }),
        Some("tenant") => Some(Person { role: Role::Tenant, tenant: tenant.or(Some(first_tenant())) }),
        Some("user") => Some(Person { role: Role::User, tenant: tenant.or(Some(first_tenant())) }),
        _ => None,
    };
    target.query_pairs_mut().append_pair("state", &request.state);
    match person.map(|person| site.grant(person, request)) {
        Some(Ok(code)) => target.query_pairs_mut().append_pair("code", &code),
        Some(Err(error)) => return HttpResponse::InternalServerError().body(error.to_string()),
        None => target.query_pairs_mut().append_pair("error", "access_denied"),
    };
    HttpResponse::SeeOther().insert_header((LOCATION, target.as_str())).finish()
}

/// `POST /oauth2/token`.
pub async fn redeem(site: Data<LoginSite>, asked: Form<Redemption>) -> HttpResponse {
    let Some((person, nonce)) = site.redeem(&asked) else {
        return HttpResponse::BadRequest().json(json!({"error": "invalid_grant"}));
    };
    match site.answer(&asked, person, nonce) {
        Ok(answer) => HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(answer),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// `POST /oauth2/revoke`.
pub async fn revoke(site: Data<LoginSite>, asked: Form<Revocation>) -> impl Responder {
    site.state().refresh_tokens.remove(&asked.token);
    Json(json!({}))
}

/// `GET /logout`.
pub async fn leave(asked: Query<Departure>) -> HttpResponse {
    match Url::parse(&asked.logout_uri).ok().filter(is_near) {
        Some(target) => HttpResponse::SeeOther().insert_header((LOCATION, target.as_str())).finish(),
        None => refuse("signing out leads elsewhere"),
    }
}

fn refuse(why: &str) -> HttpResponse {
    HttpResponse::BadRequest().content_type("text/plain; charset=utf-8").body(why.to_owned())
}
