//! A page being asked for: by whom, and what they may see of it. A cookie opens pages and nothing else; a token opens none.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, cookie::Cookie, dev::Payload, web::Data};
use painel_shared::{
    ids::TenantId,
    time::{now, to_text},
};

use super::{
    csv::FORMAT,
    format::Format,
    login,
    panel::{Open, Panel},
    preferences::Preferences,
    session::Session,
    table::Stamp,
    texts::Texts,
};
use crate::{
    auth::{Authenticator, Caller},
    cache::{Computed, Freshness},
    problem::ApiError,
    query::QueryFields,
    read::{self, Asked, Query},
    state::AppState,
    time::Time,
};

/// What a fragment shows may have been computed so long ago: many who look are one look a second at the stores.
const LIVE_AGE: Duration = Duration::from_secs(1);
/// So many seconds before what an id token says is no longer good, a page asks for it anew.
const RENEWED_BEFORE: i64 = 300;
/// By this parameter a page asks for a part of itself.
const FRAGMENT: &str = "fragment";

/// Who looks at a page.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    /// Their name, or else their address.
    pub(super) name: String,
    pub(super) email: Option<String>,
    pub(super) is_internal: bool,
    pub(super) is_administrator: bool,
    pub(super) preferences: Preferences,
    /// When their session ends unless another page is opened, in seconds since 1970.
    pub(super) ends_at: i64,
}

/// Cookies that the answer sets, whatever it is.
#[derive(Debug)]
pub(super) struct Cookies(pub(super) Vec<Cookie<'static>>);

/// A page, or a part of one, being asked for by somebody who is signed in.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) viewer: Viewer,
    pub(super) caller: Caller,
    pub(super) session: Session,
    pub(super) request: HttpRequest,
    pub(super) state: Data<AppState>,
    /// Whether a part is asked for, by a script that looks again.
    pub(super) is_fragment: bool,
    freshness: Freshness,
}

impl Visit {
    /// The query string, without what is the page's own.
    pub(super) fn fields(&self) -> QueryFields {
        QueryFields::of(&self.request).without(FRAGMENT).without(FORMAT).without_empty()
    }

    /// The words of whoever looks.
    pub(super) fn t(&self) -> &'static Texts {
        self.viewer.preferences.texts()
    }

    /// How they read figures and times.
    pub(super) fn format(&self) -> Format {
        self.viewer.preferences.format()
    }

    /// An instant for them.
    pub(super) fn stamp(&self, at: impl Into<Time>) -> Stamp {
        let at = at.into().instant();
        Stamp { iso: to_text(at), text: self.format().time(at) }
    }

    /// The tenant whose pages an operator looks at.
    pub(super) fn tenant_looked_at(&self) -> Option<TenantId> {
        let mut fields = QueryFields::of(&self.request);
        fields.uuid("tenant_id").filter(|_| self.caller.is_internal()).map(TenantId::from)
    }

    /// What an endpoint answers to such a query, where it may be asked by whoever looks.
    pub(super) async fn ask<Q: Query>(&self, fields: QueryFields) -> Result<Arc<Computed<Q::Answer>>, ApiError> {
        let mut asked = Asked::new(&self.caller, &self.request, fields);
        let query = Q::read(&mut asked)?;
        asked.finish()?;
        let share = self.state.in_flight.join(&self.caller)?;
        let admitted = async {
            let place = share.enter(&self.request)?;
            Ok((place, self.state.turns.wait(self.caller.rank()).await?))
        };
        read::answer(&self.state, &query, self.freshness, admitted).await
    }

    /// The same about the tenant whose pages these are, with these parameters.
    pub(super) async fn ask_of_tenant<Q: Query>(
        &self,
        parameters: &[(&str, &str)],
    ) -> Result<Arc<Computed<Q::Answer>>, ApiError> {
        let tenant = self.tenant_looked_at().map(|tenant| tenant.to_string());
        let tenant = tenant.as_deref().map(|tenant| ("tenant_id", tenant));
        self.ask::<Q>(QueryFields::of_pairs(parameters.iter().copied().chain(tenant))).await
    }
}

impl FromRequest for Visit {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let panel = Panel::of(&request)?;
            let open = panel.open().ok_or(ApiError::Unauthorized)?;
            let state = AppState::of(&request)?;
            let authenticator: Option<Data<Authenticator>> = request.app_data().cloned();
            let authenticator =
                authenticator.ok_or_else(|| ApiError::Failed("nobody tells who asks".to_owned()))?;
            let is_fragment = is_fragment(&request);
            let session = session(open, &request, is_fragment).await?;
            let viewer = viewer(open, &session);
            // From here on an error is told in their words, and within their menu.
            request.extensions_mut().insert(viewer.clone());
            let caller = authenticator.admit(session.caller.clone()).await?;
            let freshness = if is_fragment {
                Freshness::Since(Instant::now().checked_sub(LIVE_AGE).unwrap_or_else(Instant::now))
            } else {
                read::freshness(&request)
            };
            Ok(Self { viewer, caller, session, request, state, is_fragment, freshness })
        })
    }
}

/// Whether a part of a page is asked for, by a script.
pub(super) fn is_fragment(request: &HttpRequest) -> bool {
    QueryFields::of(request).has(FRAGMENT)
}

/// The session of a request: asked anew at the login site shortly before what is known is no longer good. Only a page renews
/// it; what a script asks for by itself keeps nobody signed in.
async fn session(open: &Open, request: &HttpRequest, is_fragment: bool) -> Result<Session, ApiError> {
    let mut session = open.sessions.of(request).ok_or(ApiError::Unauthorized)?;
    let left = session.good_until - now().timestamp();
    if is_fragment {
        return if left > 0 { Ok(session) } else { Err(ApiError::Unauthorized) };
    }
    let is_old = left < RENEWED_BEFORE;
    if is_old {
        session = match login::renew(open, &session).await {
            Ok(Some(renewed)) => renewed,
            // What is known is good until its end; the page beside this one may just have redeemed the token.
            Ok(None) if left > 0 => session,
            Ok(None) => return Err(ApiError::Unauthorized),
            Err(error) if left > 0 => {
                tracing::warn!(%error, "a session was not renewed yet");
                session
            }
            Err(error) => return Err(error),
        };
    }
    if session.see() || is_old {
        request.extensions_mut().insert(Cookies(open.sessions.seal(&session)?));
    }
    Ok(session)
}

fn viewer(open: &Open, session: &Session) -> Viewer {
    let Session { caller, name, preferences, .. } = session;
    Viewer {
        name: name.clone().or_else(|| caller.email.clone()).unwrap_or_else(|| caller.sub.clone()),
        email: caller.email.clone(),
        is_internal: caller.is_internal(),
        is_administrator: caller.require_internal_admin().is_ok(),
        preferences: *preferences,
        ends_at: session.ends_at(&open.sessions).min(session.good_until),
    }
}
