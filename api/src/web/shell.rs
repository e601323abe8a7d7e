//! What stands around every page, and the pages that say that there is none.

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, ETag, EntityTag},
    },
};
use askama::Template;
use painel_shared::secrets::sha256_hex;
use url::Url;

use super::{
    assets, login,
    panel::Panel,
    part::Failure,
    preferences::{Preferences, Theme},
    sections::{MenuGroup, Section, menu},
    texts::{StopTexts, Texts},
    visit::{Viewer, Visit},
};
use crate::{observe, problem::ApiError, read::is_known};

/// What stands around a page.
pub(super) struct Shell {
    pub(super) t: &'static Texts,
    pub(super) preferences: Preferences,
    pub(super) viewer: Option<Viewer>,
    /// The page's own heading.
    pub(super) title: String,
    pub(super) here: Option<Section>,
    pub(super) looking_at: Option<LookedAt>,
    /// What was done just now.
    pub(super) notice: Option<String>,
    /// Whether something that was typed is wrong.
    pub(super) has_errors: bool,
    pub(super) request_id: String,
    pub(super) style: String,
    pub(super) script: String,
    pub(super) icons: String,
}

/// The tenant whose account an operator looks at.
#[derive(Clone, Debug)]
pub(super) struct LookedAt {
    pub(super) id: String,
    pub(super) name: String,
}

impl Shell {
    fn new(request: &HttpRequest, title: impl Into<String>) -> Self {
        let viewer = request.extensions().get::<Viewer>().cloned();
        let preferences = viewer.as_ref().map(|viewer| viewer.preferences).unwrap_or_default();
        Self {
            t: preferences.texts(),
            preferences,
            viewer,
            title: title.into(),
            here: None,
            looking_at: None,
            notice: None,
            has_errors: false,
            request_id: observe::request_id_of(request),
            style: assets::url("panel.css"),
            script: assets::url("panel.js"),
            icons: assets::url("icons.svg"),
        }
    }

    /// What stands around that page.
    pub(super) fn of(visit: &Visit, here: Section) -> Self {
        let shell = Self::new(&visit.request, "");
        let title = here.label(shell.t).to_owned();
        Self { title, here: Some(here), ..shell }
    }

    /// The same with another heading.
    pub(super) fn titled(self, title: impl Into<String>) -> Self {
        Self { title: title.into(), ..self }
    }

    /// The same, of a page on which something that was typed is wrong, or not.
    pub(super) fn with_errors(self, has_errors: bool) -> Self {
        Self { has_errors, ..self }
    }

    /// Whose account is looked at, in words.
    pub(super) fn looking_text(&self, at: &LookedAt) -> String {
        (self.t.shell.looking_at)(&at.name)
    }

    /// The menu.
    pub(super) fn menu(&self) -> Vec<MenuGroup> {
        let looking_at = self.looking_at.as_ref().map(|at| (at.id.as_str(), at.name.as_str()));
        self.viewer.as_ref().map(|viewer| menu(self.t, viewer, self.here, looking_at)).unwrap_or_default()
    }

    /// The theme as the page says it, where it is not left to the system.
    pub(super) fn theme(&self) -> Option<&'static str> {
        (self.preferences.theme != Theme::System).then(|| self.preferences.theme.as_str())
    }

    /// What a person's language is called.
    pub(super) fn lang(&self) -> &'static str {
        self.preferences.language.tag()
    }
}

/// Renders a page.
pub(super) fn page(template: &impl Template) -> Result<HttpResponse, ApiError> {
    render(StatusCode::OK, template)
}

/// Renders a page whose only part may have failed.
pub(super) fn page_with(template: &impl Template, failure: Option<&Failure>) -> Result<HttpResponse, ApiError> {
    render(failure.map_or(StatusCode::OK, |failure| failure.status), template)
}

/// Renders a part of a page for who looks again: only where it has changed.
pub(super) fn fragment(request: &HttpRequest, template: &impl Template) -> Result<HttpResponse, ApiError> {
    let body = template.render().map_err(|error| ApiError::Failed(error.to_string()))?;
    let etag = EntityTag::new_strong(sha256_hex(body.as_bytes()).chars().take(32).collect());
    let mut response = if is_known(request, &etag) { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::CACHE_CONTROL, "no-store")).insert_header(ETag(etag.clone()));
    match is_known(request, &etag) {
        true => Ok(response.finish()),
        false => Ok(response.content_type("text/html; charset=utf-8").body(body)),
    }
}

/// The same with another status.
pub(super) fn render(status: StatusCode, template: &impl Template) -> Result<HttpResponse, ApiError> {
    let body = template.render().map_err(|error| ApiError::Failed(error.to_string()))?;
    Ok(HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body))
}

/// Why there is no page.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stop {
    /// The panel is not configured.
    Missing,
    /// What somebody came back with from the login site does not belong to an attempt of theirs.
    AttemptOver,
    /// The login site sent somebody back without letting them in.
    Declined,
    /// What the login site says of somebody cannot be believed.
    BadToken,
    /// The login site does not answer.
    LoginAway,
    /// Somebody signs out.
    Leaving,
    /// Somebody has signed out.
    SignedOut,
    /// The session has ended under a form.
    SessionOver,
}

impl Stop {
    fn status(self) -> StatusCode {
        match self {
            Self::Missing | Self::LoginAway => StatusCode::SERVICE_UNAVAILABLE,
            Self::AttemptOver => StatusCode::BAD_REQUEST,
            Self::Declined | Self::BadToken => StatusCode::FORBIDDEN,
            Self::Leaving | Self::SignedOut => StatusCode::OK,
            Self::SessionOver => StatusCode::UNAUTHORIZED,
        }
    }

    fn words(self, t: &'static StopTexts) -> (&'static str, &'static str) {
        match self {
            Self::Missing => t.missing,
            Self::AttemptOver => t.attempt_over,
            Self::Declined => t.declined,
            Self::BadToken => t.bad_token,
            Self::LoginAway => t.login_away,
            Self::Leaving => t.leaving,
            Self::SignedOut => t.signed_out,
            Self::SessionOver => t.session_over,
        }
    }
}

#[derive(Template)]
#[template(path = "stop.html")]
struct StopPage {
    shell: Shell,
    text: String,
    /// What is missing, by name.
    names: Vec<&'static str>,
    /// Where to go on, and what that is called.
    on: Option<(String, &'static str)>,
}

/// The page that says why there is none. Nobody's menu stands on it.
pub(super) fn stop(request: &HttpRequest, stop: Stop) -> HttpResponse {
    let mut shell = Shell::new(request, "");
    shell.viewer = None;
    let (title, text) = stop.words(&shell.t.stop);
    let names = match Panel::of(request) {
        Ok(panel) => panel.missing().to_vec(),
        Err(_) => Vec::new(),
    };
    let on = match stop {
        Stop::Missing | Stop::Leaving => None,
        // Back to the page of the form.
        Stop::SessionOver => Some((login::way_in(&came_from(request)), shell.t.stop.sign_in)),
        _ => Some(("/app".to_owned(), shell.t.stop.sign_in)),
    };
    answer(stop.status(), &StopPage { shell: shell.titled(title), text: text.to_owned(), names, on })
}

/// The page that a form stood on, where its request says so; it is this panel's own.
fn came_from(request: &HttpRequest) -> String {
    let referer = request.headers().get(header::REFERER).and_then(|value| value.to_str().ok());
    let url = referer.and_then(|referer| Url::parse(referer).ok());
    url.map(|url| url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path())))
        .unwrap_or_default()
}

/// The page that tells an error in words.
pub(super) fn explain(request: &HttpRequest, error: &ApiError) -> HttpResponse {
    let shell = Shell::new(request, "");
    let status = error.status_code();
    let (title, text) = shell.t.errors.of(status);
    let on = Some(("/app".to_owned(), shell.t.errors.home));
    let wait = error.wait().map(|seconds| (seconds, (shell.t.errors.wait)(seconds)));
    let text = wait.as_ref().map_or_else(|| text.to_owned(), |(_, wait)| format!("{text} {wait}"));
    let mut answer = answer(status, &StopPage { shell: shell.titled(title), text, names: Vec::new(), on });
    if let Some((seconds, _)) = wait {
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

fn answer(status: StatusCode, template: &impl Template) -> HttpResponse {
    render(status, template).unwrap_or_else(|error| {
        tracing::error!(%error, "a page was not rendered");
        HttpResponse::new(StatusCode::INTERNAL_SERVER_ERROR)
    })
}
