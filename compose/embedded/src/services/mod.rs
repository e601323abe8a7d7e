//! The services that a deployment would find elsewhere, each on a loopback port of its own.

use std::net::{Ipv4Addr, SocketAddr};

/// Any free port of loopback.
pub const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub mod agent_runtime;
pub mod dynamodb;
pub mod issuer;
pub mod postgres;
pub mod sqs;
pub mod stand_ins;
