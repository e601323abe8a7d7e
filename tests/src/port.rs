//! A port for a server that is started later, or more than once.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
};

/// Ports that the system gives to nobody by itself: one of those could be anybody's by the time that it is listened on,
/// also of a connection that goes out.
const FIRST: u16 = 10_000;
const COUNT: u16 = 10_000;

/// A port of loopback that is free, and no other server's of this process. Where it begins to look depends on the process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap().wrapping_mul(7);
    loop {
        let next = NEXT.fetch_add(1, Ordering::SeqCst);
        let port = FIRST + begin.wrapping_add(next) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
