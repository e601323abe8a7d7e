//! Who asks, and may what. The only place that speaks of jsonwebtoken.

mod caller;
mod cognito;
mod gate;
mod jwks;

pub use self::{
    caller::{Caller, Group},
    cognito::Verifier,
    gate::Gate,
};
