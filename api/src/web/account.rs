//! A tenant's account being looked at: by one of its users, or by an operator, whose look is recorded.

use actix_web::HttpResponse;
use painel_shared::events::{Event, record};

use super::{
    href::Href,
    sections::Section,
    shell::{LookedAt, Shell},
    visit::Visit,
};
use crate::{
    observe,
    problem::ApiError,
    tenant::me::{Me, MeQuery},
};

/// A look at an account.
pub(super) struct Account {
    pub(super) visit: Visit,
    /// Around its pages.
    pub(super) shell: Shell,
    /// The tenant's id as its pages' addresses bear it; none for its own users.
    pub(super) tenant_id: Option<String>,
}

impl Account {
    /// Begins a look at a page. An operator who names no tenant is shown the way to choose one.
    pub(super) async fn look(visit: Visit, section: Section) -> Result<Result<Self, HttpResponse>, ApiError> {
        if !visit.caller.is_internal() {
            return Ok(Ok(Self::own(visit, section)));
        }
        let shell = Shell::of(&visit, section);
        let Some(tenant) = visit.tenant_looked_at() else {
            return Ok(Err(super::see_other(Section::Tenants.path())));
        };
        let found = visit.ask_of_tenant::<MeQuery>(&[]).await?;
        let (caller, origin) = (&visit.caller, observe::origin(&visit.request));
        let path = visit.request.path();
        let event = Event::account_viewed(tenant, &caller.sub, caller.email.as_deref(), path, origin);
        // What is not recorded is not shown.
        record(&visit.state.stores.db, &[event]).await?;
        let Me { id, name, .. } = &found.value;
        let looked_at = LookedAt { id: id.to_string(), name: name.clone() };
        let tenant_id = Some(looked_at.id.clone());
        Ok(Ok(Self { visit, shell: Shell { looking_at: Some(looked_at), ..shell }, tenant_id }))
    }

    /// A look of one of the tenant's own users.
    pub(super) fn own(visit: Visit, section: Section) -> Self {
        let shell = Shell::of(&visit, section);
        Self { visit, shell, tenant_id: None }
    }

    /// Another page of the same account.
    pub(super) fn href(&self, section: Section) -> Href {
        self.of_account(Href::to(section.path()))
    }

    /// A page below that one.
    pub(super) fn below(&self, section: Section, name: &str) -> Href {
        self.of_account(Href::to(format!("{}/{name}", section.path())))
    }

    fn of_account(&self, href: Href) -> Href {
        match &self.tenant_id {
            Some(tenant) => href.with("tenant_id", tenant),
            None => href,
        }
    }
}
