//! `/profile`: who somebody is, as their token says, and how they read the panel, whichever browser they use.

use actix_web::HttpResponse;
use painel_shared::{
    commands::{Fault, Fields},
    db::{Database, Session},
    ids::TenantId,
    statement,
};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::{FromRow, types::Json};
use utoipa::ToSchema;

use crate::{
    auth::Group,
    cache::{CacheTag, Lifetime},
    openapi::{ReadProblems, WriteProblems},
    problem::ApiError,
    read::{Asked, Query, Read},
    state::AppState,
    web::{
        preferences::{INTERVALS, Preferences, Theme, Zone},
        texts::Language,
    },
    write::{AnyWrite, Write},
};

/// Who somebody is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Profile {
    /// The user's id in the pool.
    pub(crate) sub: String,
    pub(crate) email: Option<String>,
    #[schema(value_type = Option<Uuid>)]
    pub(crate) tenant_id: Option<TenantId>,
    /// `INTERNAL_ADMIN`, `INTERNAL_SUPPORT`, `TENANT_ADMIN` or `TENANT_USER`.
    pub(crate) groups: Vec<&'static str>,
    pub(crate) preferences: PreferencesView,
}

/// How somebody reads the panel.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Preferences)]
pub struct PreferencesView {
    /// `pt-BR` or `en`.
    #[schema(value_type = String, example = "pt-BR")]
    pub(crate) language: &'static str,
    /// `America/Sao_Paulo`, `America/Noronha`, `America/Manaus`, `America/Rio_Branco` or `UTC`.
    #[schema(value_type = String, example = "America/Sao_Paulo")]
    pub(crate) zone: &'static str,
    /// `system`, `light` or `dark`.
    #[schema(value_type = String, example = "system")]
    pub(crate) theme: &'static str,
    /// Whether rows stand closer.
    pub(crate) dense: bool,
    /// Whether what is unfinished is looked at again and again.
    pub(crate) live: bool,
    /// Whether single keys lead to pages.
    pub(crate) shortcuts: bool,
    /// A page looks again no sooner than after so many seconds: 1, 2, 5, 10 or 30. By default 1.
    #[schema(value_type = Option<u8>, example = 1)]
    pub(crate) interval_seconds: u8,
}

impl From<Preferences> for PreferencesView {
    fn from(of: Preferences) -> Self {
        Self {
            language: of.language.tag(),
            zone: of.zone.name(),
            theme: of.theme.as_str(),
            dense: of.is_dense,
            live: of.is_live,
            shortcuts: of.has_shortcuts,
            interval_seconds: of.interval_seconds,
        }
    }
}

/// `GET`: who asks, and how they read the panel.
#[utoipa::path(get, path = "/profile", tag = "profile", responses((status = 200, body = Profile), ReadProblems))]
pub async fn show(read: Read<ProfileQuery>) -> Result<HttpResponse, ApiError> {
    read.answer().await
}

/// `PUT`: how whoever asks will read the panel from their next sign-in on; where they save it there, at once.
#[utoipa::path(
    put, path = "/profile/preferences", tag = "profile",
    request_body(content = PreferencesView),
    responses((status = 200, body = PreferencesView), WriteProblems),
)]
pub async fn save(AnyWrite(write): AnyWrite) -> Result<HttpResponse, ApiError> {
    let Write { caller, object, request: _, state, place: _place } = write;
    let preferences = read_body(object)?;
    let _turn = state.turns.wait(caller.rank()).await?;
    store_preferences(&state.stores.db, &caller.sub, preferences).await?;
    Ok(HttpResponse::Ok().json(PreferencesView::from(preferences)))
}

fn read_body(body: Map<String, Value>) -> Result<Preferences, ApiError> {
    let mut fields = Fields::of("", body);
    let language = word(&mut fields, "language", Language::ALL.map(|one| (one.tag(), one)));
    let zone = word(&mut fields, "zone", Zone::ALL.map(|one| (one.name(), one)));
    let theme = word(&mut fields, "theme", Theme::ALL.map(|one| (one.as_str(), one)));
    let (dense, live, shortcuts) =
        (fields.required("dense"), fields.required("live"), fields.required("shortcuts"));
    let interval = fields.optional::<u32>("interval_seconds").unwrap_or(1);
    let interval_seconds = INTERVALS.into_iter().find(|seconds| u32::from(*seconds) == interval);
    if interval_seconds.is_none() {
        fields.refuse("interval_seconds", Fault::not_one_of(["1", "2", "5", "10", "30"]));
    }
    let read = || {
        Some(Preferences {
            language: language?,
            zone: zone?,
            theme: theme?,
            is_dense: dense?,
            is_live: live?,
            has_shortcuts: shortcuts?,
            interval_seconds: interval_seconds?,
        })
    };
    fields.finish(read()).map_err(ApiError::Validation)
}

/// A field that holds one of a few words.
fn word<T: Copy, const N: usize>(fields: &mut Fields, name: &str, words: [(&'static str, T); N]) -> Option<T> {
    let given = fields.required::<String>(name)?;
    let known = words.iter().find(|(word, _)| *word == given).map(|(_, meaning)| *meaning);
    if known.is_none() {
        fields.refuse(name, Fault::not_one_of(words.map(|(word, _)| word)));
    }
    known
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProfileQuery {
    sub: String,
    email: Option<String>,
    tenant: Option<TenantId>,
    groups: Vec<Group>,
}

impl Query for ProfileQuery {
    type Answer = Profile;

    fn read(asked: &mut Asked<'_>) -> Result<Self, ApiError> {
        let caller = asked.caller();
        Ok(Self {
            sub: caller.sub.clone(),
            email: caller.email.clone(),
            tenant: caller.tenant_id,
            groups: caller.groups.clone(),
        })
    }

    fn tag(&self) -> CacheTag {
        CacheTag::Platform
    }

    fn lifetime(_: &Profile) -> Lifetime {
        Lifetime::NotStored
    }

    async fn compute(&self, state: &AppState) -> Result<Profile, ApiError> {
        let preferences = find_preferences(&state.stores.db, &self.sub).await?.unwrap_or_default();
        Ok(Profile {
            sub: self.sub.clone(),
            email: self.email.clone(),
            tenant_id: self.tenant,
            groups: self.groups.iter().map(|group| group.as_str()).collect(),
            preferences: preferences.into(),
        })
    }
}

#[derive(FromRow)]
struct Chosen {
    preferences: Value,
}

statement!(CHOSEN: Chosen = "SELECT preferences FROM user_preferences WHERE user_id = $1", "");

/// What somebody has chosen, where they have.
pub(crate) async fn find_preferences(db: &Database, sub: &str) -> Result<Option<Preferences>, sqlx::Error> {
    let stored = db.ask_as_operator(&CHOSEN.bind([sub.to_owned().into()])).await?;
    // What another build has written and this one does not know is as if nothing had been chosen.
    let stored = stored.into_iter().next().map(|row| row.preferences);
    Ok(stored.and_then(|stored| read_body(stored.as_object()?.clone()).ok()))
}

/// Keeps what somebody has chosen.
pub(crate) async fn store_preferences(db: &Database, sub: &str, of: Preferences) -> Result<(), sqlx::Error> {
    let view = PreferencesView::from(of);
    let write = async |mut session: Session| {
        let written = sqlx::query!(
            "INSERT INTO user_preferences (user_id, preferences) VALUES ($1, $2)
             ON CONFLICT (user_id) DO UPDATE SET preferences = excluded.preferences, updated_at = now()",
            sub,
            Json(&view) as _,
        )
        .execute(&mut *session)
        .await;
        session.done(written)
    };
    db.statement(write).await.map(drop)
}
