//! `/app/settings`: who one is, and how one reads the panel.

use actix_web::{HttpMessage, HttpResponse};
use askama::Template;
use painel_shared::commands::Fault;

use super::{
    href::Href,
    panel::Panel,
    posted::Posted,
    preferences::{INTERVALS, Preferences, Theme, Zone},
    sections::Section,
    see_other,
    shell::{self, Shell},
    texts::Language,
    visit::{Cookies, Visit},
};
use crate::{problem::ApiError, profile::store_preferences};

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    shell: Shell,
    profile: Vec<(&'static str, String)>,
    languages: Vec<(&'static str, &'static str, bool)>,
    zones: Vec<(&'static str, bool)>,
    themes: Vec<(&'static str, &'static str, bool)>,
    intervals: Vec<(u8, String, bool)>,
    preferences: Preferences,
}

/// The page.
pub(super) async fn show(visit: Visit) -> Result<HttpResponse, ApiError> {
    let (t, of) = (visit.t(), visit.viewer.preferences);
    let words = &t.settings;
    let theme_name = |theme| match theme {
        Theme::System => words.system,
        Theme::Light => words.light,
        Theme::Dark => words.dark,
    };
    let here = Href::of(&visit.request);
    let notice = match (here.has("saved"), here.has("saved_here")) {
        (true, _) => Some(words.saved.to_owned()),
        (false, true) => Some(words.saved_here.to_owned()),
        (false, false) => None,
    };
    let role = match (visit.viewer.is_administrator, visit.viewer.is_internal) {
        (true, _) => words.administrator,
        (false, true) => words.support,
        (false, false) => words.customer,
    };
    let email = visit.viewer.email.clone().unwrap_or_else(|| "—".to_owned());
    let page = SettingsPage {
        shell: Shell { notice, ..Shell::of(&visit, Section::Settings) },
        profile: vec![
            (words.name, visit.viewer.name.clone()),
            (t.tenants.email, email),
            (t.tenants.role, role.to_owned()),
        ],
        languages: Language::ALL.map(|one| (one.tag(), one.name(), one == of.language)).into(),
        zones: Zone::ALL.map(|one| (one.name(), one == of.zone)).into(),
        themes: Theme::ALL.map(|one| (one.as_str(), theme_name(one), one == of.theme)).into(),
        intervals: INTERVALS.map(|one| (one, (words.seconds)(one), one == of.interval_seconds)).into(),
        preferences: of,
    };
    shell::page(&page)
}

/// `POST /app/settings`: keeps what was chosen, for other browsers and in this session.
pub(super) async fn save(posted: Posted) -> Result<HttpResponse, ApiError> {
    let Posted { visit, mut fields, place: _place } = posted;
    let languages = Language::ALL.map(|one| (one.tag(), one));
    let zones = Zone::ALL.map(|one| (one.name(), one));
    let themes = Theme::ALL.map(|one| (one.as_str(), one));
    let mut is_ticked =
        |name| fields.optional(name, || Fault::Unknown, |text| (text == "on").then_some(())).is_some();
    let (is_dense, is_live, has_shortcuts) = (is_ticked("dense"), is_ticked("live"), is_ticked("shortcuts"));
    let intervals = INTERVALS.map(|seconds| (seconds.to_string(), seconds));
    let intervals: Vec<(&str, u8)> = intervals.iter().map(|(word, seconds)| (word.as_str(), *seconds)).collect();
    let preferences = Preferences {
        language: fields.word("language", &languages).unwrap_or_default(),
        zone: fields.word("zone", &zones).unwrap_or_default(),
        theme: fields.word("theme", &themes).unwrap_or_default(),
        is_dense,
        is_live,
        has_shortcuts,
        interval_seconds: fields.word("interval", &intervals).unwrap_or(INTERVALS[0]),
    };
    fields.finish()?;
    let stored = async {
        let _turn = visit.state.turns.wait(visit.caller.rank()).await?;
        Ok::<(), ApiError>(store_preferences(&visit.state.stores.db, &visit.caller.sub, preferences).await?)
    };
    // What is kept nowhere else holds in this session at least.
    let told = match stored.await {
        Ok(()) => "saved",
        Err(error) => {
            tracing::warn!(%error, cause = error.cause(), "what somebody has chosen is kept in their session alone");
            "saved_here"
        }
    };
    let panel = Panel::of(&visit.request)?;
    let open = panel.open().ok_or(ApiError::Unauthorized)?;
    let mut session = visit.session;
    session.preferences = preferences;
    // In place of what the visit itself may have sealed, as before.
    visit.request.extensions_mut().insert(Cookies(open.sessions.seal(&session)?));
    Ok(see_other(&Href::to(Section::Settings.path()).with(told, "1").to_string()))
}
