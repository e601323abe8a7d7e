//! What the tests stand on: services of their own, a client, and waiting for conditions.

pub mod bench;
pub mod broker;
pub mod browser;
pub mod certificate;
pub mod client;
pub mod exchanges;
pub mod fleet;
pub mod fuzz;
pub mod host;
pub mod key_server;
pub mod lossy;
pub mod moto;
pub mod panel;
pub mod port;
pub mod postgres;
pub mod program;
pub mod random;
pub mod stack;
pub mod storm;
pub mod tree;
pub mod wait;
pub mod window;
mod wire;
