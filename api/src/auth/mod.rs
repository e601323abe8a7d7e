//! Who asks, and may what. The only place that speaks of jsonwebtoken.

mod authenticator;
mod caller;
mod cognito;
mod jwks;

pub use self::{
    authenticator::Authenticator,
    caller::{Caller, Group},
    cognito::{SignedIn, Verifier, key_id},
};
