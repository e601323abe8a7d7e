//! The caller: who asks, and what they may do.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};
use painel_shared::{
    commands::Fault,
    db::Member,
    ids::TenantId,
    planted::{Hole, is_open},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Authenticator;
use crate::{problem::ApiError, query::QueryFields, turns::Rank};

/// A group of the user pool that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Group {
    /// An operator who may do everything.
    InternalAdmin,
    /// An operator.
    InternalSupport,
    /// A tenant's administrator.
    TenantAdmin,
    /// A tenant's user.
    TenantUser,
}

impl Group {
    /// Its name in the pool.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InternalAdmin => "INTERNAL_ADMIN",
            Self::InternalSupport => "INTERNAL_SUPPORT",
            Self::TenantAdmin => "TENANT_ADMIN",
            Self::TenantUser => "TENANT_USER",
        }
    }

    /// The group of that name; others mean nothing here.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "INTERNAL_ADMIN" => Some(Self::InternalAdmin),
            "INTERNAL_SUPPORT" => Some(Self::InternalSupport),
            "TENANT_ADMIN" => Some(Self::TenantAdmin),
            "TENANT_USER" => Some(Self::TenantUser),
            _ => None,
        }
    }
}

/// Who asks, as their token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The user's id in the pool.
    pub sub: String,
    /// Their address, or else their name; access tokens bear no address.
    pub email: Option<String>,
    /// Their tenant, where they have one.
    pub tenant_id: Option<TenantId>,
    /// Their groups.
    pub groups: Vec<Group>,
}

impl Caller {
    /// Whether they work for the company.
    pub fn is_internal(&self) -> bool {
        self.groups.iter().any(|group| matches!(group, Group::InternalAdmin | Group::InternalSupport))
    }

    /// In which order their reads are worked on. Who is of no tenant has nothing to read.
    pub fn rank(&self) -> Rank {
        match self.tenant_id {
            _ if self.is_internal() => Rank::Operator,
            Some(tenant) => Rank::Tenant(tenant),
            None => Rank::Tenant(TenantId::from(Uuid::nil())),
        }
    }

    /// Operators only.
    pub fn require_internal(&self) -> Result<(), ApiError> {
        if self.is_internal() || is_open(Hole::NoRoleCheck) { Ok(()) } else { Err(ApiError::Forbidden) }
    }

    /// Administrators among the operators only.
    pub fn require_internal_admin(&self) -> Result<(), ApiError> {
        if self.groups.contains(&Group::InternalAdmin) { Ok(()) } else { Err(ApiError::Forbidden) }
    }

    /// Operators, and the tenant's own users.
    pub fn require_tenant_access(&self, tenant: TenantId) -> Result<(), ApiError> {
        let own = self.tenant_id == Some(tenant) && self.is_tenants();
        if own || self.is_internal() { Ok(()) } else { Err(ApiError::Forbidden) }
    }

    /// The tenant that a request is about: the caller's own, or for operators the one that `tenant_id` names.
    pub fn tenant_asked(&self, fields: &mut QueryFields) -> Result<TenantId, ApiError> {
        let belongs = self.is_tenants() && self.tenant_id.is_some();
        if !(belongs || self.is_internal()) {
            return Err(ApiError::Forbidden);
        }
        let named = fields.uuid("tenant_id").map(TenantId::from);
        match named.or(self.tenant_id) {
            Some(tenant) => self.require_tenant_access(tenant).map(|()| tenant),
            None => Err(ApiError::field("tenant_id", Fault::Required { expected: "a UUID" })),
        }
    }

    /// The tenant whose user the caller is; nobody else has one.
    pub fn own_tenant(&self) -> Result<TenantId, ApiError> {
        let own = self.tenant_id.filter(|_| self.is_tenants() && !self.is_internal());
        own.ok_or(ApiError::Forbidden)
    }

    /// Whether they administer their tenant's account.
    pub fn is_tenant_admin(&self) -> bool {
        self.groups.contains(&Group::TenantAdmin)
    }

    /// Takes in what is known of the user: their tenant where the token names none. Both must agree.
    pub(super) fn join(&mut self, member: Option<Member>) -> Result<(), ApiError> {
        let Some(member) = member else { return Ok(()) };
        if !member.active || self.tenant_id.is_some_and(|claimed| claimed != member.tenant) {
            return Err(ApiError::Forbidden);
        }
        self.tenant_id = Some(member.tenant);
        Ok(())
    }

    fn is_tenants(&self) -> bool {
        self.groups.iter().any(|group| matches!(group, Group::TenantAdmin | Group::TenantUser))
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let token = bearer(request).map(str::to_owned);
        let authenticator = request.app_data::<web::Data<Authenticator>>().cloned();
        Box::pin(async move {
            let (Some(token), Some(authenticator)) = (token, authenticator) else {
                return Err(ApiError::Unauthorized);
            };
            authenticator.authenticate(&token).await
        })
    }
}

/// The token of `Authorization: Bearer` (RFC 6750); the scheme's case does not matter.
fn bearer(request: &HttpRequest) -> Option<&str> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let value = values.next()?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (values.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then_some(token.trim())
}
